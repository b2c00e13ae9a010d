/** @file Sound as a WAV file of 16-bit samples. @see TensorFlow core/lib/wav/wav_io.cc */

const HEADER_BYTES = 44;
const SAMPLE_BYTES = 2;
const LARGEST = 32_768;

/**
 * Samples in [-1, 1], channels side by side, as a WAV file.
 *
 * @param sampleRate - Hz
 */
export function writeWav(samples: ArrayLike<number>, channels: number, sampleRate: number): Uint8Array {
  const size = samples.length * SAMPLE_BYTES;
  const out = new Uint8Array(HEADER_BYTES + size);
  const view = new DataView(out.buffer);
  const text = (at: number, s: string): void => {
    for (let i = 0; i < s.length; i++) out[at + i] = s.charCodeAt(i);
  };
  text(0, "RIFF");
  view.setUint32(4, HEADER_BYTES - 8 + size, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true); // bytes of what follows up to "data"
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, channels, true);
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, sampleRate * channels * SAMPLE_BYTES, true);
  view.setUint16(32, channels * SAMPLE_BYTES, true);
  view.setUint16(34, SAMPLE_BYTES * 8, true);
  text(36, "data");
  view.setUint32(40, size, true);
  for (let i = 0; i < samples.length; i++) {
    const scaled = samples[i]! * LARGEST;
    const rounded = Math.sign(scaled) * Math.round(Math.abs(scaled)); // halves away from 0, as roundf
    view.setInt16(HEADER_BYTES + i * SAMPLE_BYTES, Math.max(-LARGEST, Math.min(LARGEST - 1, rounded)), true);
  }
  return out;
}
