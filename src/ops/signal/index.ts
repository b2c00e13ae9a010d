/** @file `signal`: Fourier transforms under the names that `tf.signal` has. */

export { irfft, irfft2d, irfft3d, type RealTransformOptions, rfft, rfft2d, rfft3d } from "./real-spectral.ts";
export { fft, fft2d, fft3d, ifft, ifft2d, ifft3d } from "./spectral.ts";
