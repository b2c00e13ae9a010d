/** @file Numbers as pictures: histograms, lines, maps, tiles. Start at `HistogramChart`. */

import { useEffect, useRef, useState } from "preact/hooks";
import type { Histogram } from "../edit/histogram.ts";
import type { Picture } from "./protocol.ts";
import { count, number } from "./words.ts";

/** A histogram of a few pixels. */
export function Spark({ histogram }: { readonly histogram: Histogram | null | undefined }) {
  if (histogram === null || histogram === undefined || histogram.counts.length < 2) return null;
  const { counts } = histogram;
  const most = Math.max(...counts);
  const step = 36 / counts.length;
  const path = counts
    .map((n, i) =>
      n === 0
        ? ""
        : `M${(i * step).toFixed(1)} 12v${(-Math.max(1, (n / most) * 12)).toFixed(1)}h${(step * 0.8).toFixed(1)}V12z`,
    )
    .join("");
  return (
    <svg class="spark" viewBox="0 0 36 12" aria-hidden="true">
      <path d={path} />
    </svg>
  );
}

const [WIDTH, HEIGHT] = [340, 120];

/** A histogram with its axis; heights are counts, or their logarithms. */
export function HistogramChart({ histogram }: { readonly histogram: Histogram }) {
  const [isLog, setLog] = useState(false);
  const { from, width, counts } = histogram;
  const height = (n: number): number => (isLog ? Math.log1p(n) : n);
  const most = height(Math.max(...counts));
  const step = WIDTH / counts.length;
  const end = from + width * counts.length;
  const zero = from < 0 && end > 0 ? (-from / (end - from)) * WIDTH : null;
  return (
    <figure class="histogram">
      <figcaption>
        <h3>Histogram</h3>
        <button type="button" class="quiet" aria-pressed={isLog} onClick={() => setLog(!isLog)}>
          log
        </button>
      </figcaption>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT + 18}`}
        role="img"
        aria-label={`Histogram of ${counts.length} bins`}
      >
        {zero !== null && <line class="zero" x1={zero} x2={zero} y1={0} y2={HEIGHT} />}
        {counts.map((n, i) => {
          const h = n === 0 ? 0 : Math.max(1.5, (height(n) / most) * HEIGHT);
          const [a, b] = [from + i * width, from + (i + 1) * width];
          return (
            <g class="bin" key={a}>
              <rect class="hit" x={i * step} y={0} width={step} height={HEIGHT} />
              <rect
                x={i * step + step * 0.06}
                y={HEIGHT - h}
                width={step * 0.88}
                height={h}
                rx={Math.min(1.5, h / 2)}
              />
              <title>{`${number(a)} to ${number(b)}: ${count(n)}`}</title>
            </g>
          );
        })}
        <line class="axis" x1={0} x2={WIDTH} y1={HEIGHT + 0.5} y2={HEIGHT + 0.5} />
        <text x={0} y={HEIGHT + 14}>
          {number(from)}
        </text>
        {zero !== null && zero > 50 && zero < WIDTH - 50 && (
          <text x={zero} y={HEIGHT + 14} text-anchor="middle">
            0
          </text>
        )}
        <text x={WIDTH} y={HEIGHT + 14} text-anchor="end">
          {number(end)}
        </text>
      </svg>
    </figure>
  );
}

/** Values as they stand in the tensor. */
export function PictureChart({ picture }: { readonly picture: Picture }) {
  return (
    <figure class="picture">
      <figcaption>
        <h3>{picture.kind === "line" ? "By channel" : picture.kind === "map" ? "Map" : "Kernels"}</h3>
        <span>{picture.caption}</span>
      </figcaption>
      {picture.kind === "line" ? <Line values={picture.values} /> : <Pixels picture={picture} />}
    </figure>
  );
}

/** A vector, one bar or point a value, from zero. */
export function Line({ values, height = 72 }: { readonly values: Float32Array; readonly height?: number }) {
  const finite = [...values].filter(Number.isFinite);
  const low = Math.min(0, ...finite);
  const high = Math.max(0, ...finite);
  const y = (x: number): number =>
    high === low ? height / 2 : ((high - x) / (high - low)) * (height - 2) + 1;
  const step = WIDTH / values.length;
  const bars = [...values]
    .map((x, i) =>
      Number.isFinite(x) ? `M${((i + 0.5) * step).toFixed(2)} ${y(0).toFixed(2)}V${y(x).toFixed(2)}` : "",
    )
    .join("");
  return (
    <div class="line">
      <svg
        viewBox={`0 0 ${WIDTH} ${height}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${values.length} values`}
      >
        <line class="axis" x1={0} x2={WIDTH} y1={y(0)} y2={y(0)} />
        <path d={bars} stroke-width={Math.max(0.5, Math.min(step * 0.75, 14))} />
      </svg>
      <span class="ends">
        <i>{number(high)}</i>
        <i>{number(low)}</i>
      </span>
    </div>
  );
}

function Pixels({ picture }: { readonly picture: Picture }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const { rows, columns, across, values, channels } = picture;
  const tiles = values.length / (rows * columns * channels);
  const down = Math.ceil(tiles / across);
  const gap = tiles > 1 ? 1 : 0;
  const [width, height] = [across * (columns + gap) - gap, down * (rows + gap) - gap];
  const theme = useTheme();
  // The theme changes the colours that draw() reads.
  useEffect(() => {
    if (canvas.current !== null) draw(canvas.current, picture, width, height);
  }, [picture, theme]);
  const scale = Math.max(1, Math.floor(WIDTH / width));
  return (
    <canvas
      ref={canvas}
      width={width}
      height={height}
      style={{
        width: `${Math.min(WIDTH, width * Math.min(scale, 24))}px`,
        aspectRatio: `${width} / ${height}`,
      }}
    />
  );
}

/** Changes with the page's colours. */
function useTheme(): number {
  const [version, setVersion] = useState(0);
  useEffect(() => {
    const bump = (): void => setVersion((v) => v + 1);
    const watch = new MutationObserver(bump);
    watch.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    const media = matchMedia("(prefers-color-scheme: dark)");
    media.addEventListener("change", bump);
    return () => {
      watch.disconnect();
      media.removeEventListener("change", bump);
    };
  }, []);
  return version;
}

type Colour = readonly [number, number, number];

function draw(canvas: HTMLCanvasElement, picture: Picture, width: number, height: number): void {
  const { rows, columns, across, channels, values } = picture;
  const context = canvas.getContext("2d")!;
  const image = context.createImageData(width, height);
  const gap = width > columns || height > rows ? 1 : 0;
  const colour = colours(canvas, values, channels);
  const area = rows * columns;
  for (let i = 0; i < values.length / channels; i++) {
    const tile = Math.floor(i / area);
    const [row, column] = [Math.floor((i % area) / columns), i % columns];
    const x = (tile % across) * (columns + gap) + column;
    const y = Math.floor(tile / across) * (rows + gap) + row;
    image.data.set([...colour(i), 255], (y * width + x) * 4);
  }
  context.putImageData(image, 0, 0);
}

/** Red through the middle to blue, the middle at zero; three channels as they are, each picture's range stretched. */
function colours(canvas: HTMLCanvasElement, values: Float32Array, channels: 1 | 3): (i: number) => Colour {
  let [low, high] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
  for (const x of values) {
    if (x < low) low = x;
    if (x > high && x !== Number.POSITIVE_INFINITY) high = x;
  }
  if (channels === 3) {
    const scale = 255 / (high - low || 1);
    return (i) => [0, 1, 2].map((c) => (values[i * 3 + c]! - low) * scale) as unknown as Colour;
  }
  const most = Math.max(Math.abs(low), Math.abs(high)) || 1;
  const style = getComputedStyle(canvas);
  const [zero, plus, minus, bad] = ["--map-zero", "--map-plus", "--map-minus", "--bad"].map((name) =>
    rgb(style.getPropertyValue(name)),
  ) as [Colour, Colour, Colour, Colour];
  return (i) => {
    const x = values[i]! / most;
    if (!Number.isFinite(x)) return bad;
    const to = x < 0 ? minus : plus;
    const part = Math.sqrt(Math.min(1, Math.abs(x)));
    return [0, 1, 2].map((c) => zero[c]! + (to[c]! - zero[c]!) * part) as unknown as Colour;
  };
}

const rgb = (text: string): Colour => {
  const n = Number.parseInt(text.trim().slice(1), 16);
  return [n >> 16, (n >> 8) & 255, n & 255];
};
