"""Which operators a graph from outside may hold: two lists, and why these.

Of the standard domain a frozen model may use everything. Of `com.microsoft` it may use what onnxruntime's own optimizer
and quantizer write into a file; what searches, samples, tokenizes or runs a sub-graph of its own is not among it. Not
allowed are `ai.onnx.ml` (trees and text: there is no gradient to adapt by) and `com.microsoft.nchwc` (a layout for one
processor: save the optimized model with ORT_ENABLE_EXTENDED instead).
"""

_CONTRIB = """
    Attention BiasAdd BiasDropout BiasGelu BiasSoftmax BiasSplitGelu ConvTransposeWithDynamicPads
    DequantizeLinear DynamicQuantizeLSTM DynamicQuantizeMatMul EmbedLayerNormalization FastGelu FusedConv FusedGemm
    FusedMatMul FusedMatMulActivation GatherBlockQuantized Gelu GemmFastGelu GridSample GroupNorm Inverse Irfft
    MatMulBnb4 MatMulFpQ4 MatMulInteger16 MatMulIntegerToFloat MatMulNBits MultiHeadAttention NhwcConv NhwcFusedConv
    NhwcMaxPool Pad QAttention QEmbedLayerNormalization QGemm QLinearAdd QLinearAveragePool QLinearConcat QLinearConv
    QLinearGlobalAveragePool QLinearLeakyRelu QLinearMul QLinearReduceMean QLinearSigmoid QLinearSoftmax QLinearWhere
    QOrderedAttention QOrderedGelu QOrderedLayerNormalization QOrderedMatMul
    QuantizeLinear QuantizeWithOrder DequantizeWithOrder QuickGelu RelativePositionBias Rfft RotaryEmbedding
    SimplifiedLayerNormalization SkipGroupNorm SkipLayerNormalization SkipSimplifiedLayerNormalization SplitGelu
    TransposeMatMul Trilu
"""
CONTRIB = frozenset(_CONTRIB.split())

_CORRECTING = """
    Abs Add AffineGrid And AveragePool Cast CastLike Ceil Clip Concat Constant ConstantOfShape Conv ConvTranspose
    DepthToSpace DequantizeLinear Div Elu Equal Erf Exp Expand Flatten Floor Gather GatherElements Gelu Gemm
    GlobalAveragePool Greater GreaterOrEqual GridSample HardSigmoid HardSwish Identity InstanceNormalization
    LayerNormalization LeakyRelu Less LessOrEqual Log MatMul Max MaxPool Min Mish Mul Neg Not Or PRelu Pad Pow
    QuantizeLinear Reciprocal ReduceMax ReduceMean ReduceMin ReduceSum Relu Reshape Resize Round Selu Shape Sigmoid
    Sign Slice Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tanh Tile Transpose Unsqueeze Where
"""
CORRECTING = frozenset(_CORRECTING.split())
"""What our stages write, and what a stage may come to need: arithmetic, activations, convolutions, moves of pixels.

No control flow, no randomness, no sequences, no text.
"""
