/** @file The constants of selu: λ and λα of Klambauer et al. 2017 (arXiv:1706.02515), equation 2, as TensorFlow has them. */

/** @see TensorFlow core/kernels/relu_op_functor.h "Selu" */
export const SELU_SCALE = 1.0507009873554805;
export const SELU_SCALE_ALPHA = 1.7580993408473768;
