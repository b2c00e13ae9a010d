/** @file Fourier transforms, `varscope/signal`: what is tf.signal in TensorFlow. */

export { irfft, irfft2d, irfft3d, type RealTransformOptions, rfft, rfft2d, rfft3d } from "./real-spectral.ts";
export { fft, fft2d, fft3d, ifft, ifft2d, ifft3d } from "./spectral.ts";
