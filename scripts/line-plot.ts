/** A plot of lines, as SVG text: for the guides, whose plots are drawn from what the program computes. */

export interface Line {
  readonly name: string
  readonly color: string
  readonly points: readonly (readonly [x: number, y: number])[]
  /** Whether it stands for a limit and not for what was found. */
  readonly dashed?: boolean
}

export interface Axis {
  readonly label: string
  readonly from: number
  readonly to: number
  readonly ticks: readonly number[]
  /** Equal steps stand for equal factors. */
  readonly log?: boolean
  readonly write?: (value: number) => string
}

export interface Plot {
  readonly title: string
  readonly x: Axis
  readonly y: Axis
  readonly lines: readonly Line[]
}

const [WIDTH, HEIGHT] = [720, 400]
const MARGIN = { top: 40, right: 170, bottom: 50, left: 70 } as const
const PLOT = { width: WIDTH - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom }

export function linePlot({ title, x, y, lines }: Plot): string {
  const atX = (value: number): string => (MARGIN.left + PLOT.width * part(value, x)).toFixed(1)
  const atY = (value: number): string => (MARGIN.top + PLOT.height * (1 - part(value, y))).toFixed(1)
  const bottom = MARGIN.top + PLOT.height
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12" role="img" aria-label="${escaped(title)}">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#fff"/>`,
    `<text x="${MARGIN.left}" y="22" font-size="14" font-weight="bold">${escaped(title)}</text>`,
    ...x.ticks.map(
      (tick) =>
        `<path d="M${atX(tick)} ${MARGIN.top}V${bottom}" stroke="#ddd"/><text x="${atX(tick)}" y="${bottom + 16}" text-anchor="middle">${written(tick, x)}</text>`,
    ),
    ...y.ticks.map(
      (tick) =>
        `<path d="M${MARGIN.left} ${atY(tick)}h${PLOT.width}" stroke="#ddd"/><text x="${MARGIN.left - 6}" y="${atY(tick)}" dy="4" text-anchor="end">${written(tick, y)}</text>`,
    ),
    `<text x="${MARGIN.left + PLOT.width / 2}" y="${HEIGHT - 12}" text-anchor="middle">${escaped(x.label)}</text>`,
    `<text transform="translate(16 ${MARGIN.top + PLOT.height / 2}) rotate(-90)" text-anchor="middle">${escaped(y.label)}</text>`,
    ...lines.map(
      ({ points, color, dashed = false }) =>
        `<polyline fill="none" stroke="${color}" stroke-width="${dashed ? 1.5 : 2}"${dashed ? ' stroke-dasharray="6 4"' : ''} points="${points.map(([a, b]) => `${atX(a)},${atY(b)}`).join(' ')}"/>`,
    ),
    ...named(lines).map(
      ({ name, color }, index) =>
        `<path d="M${WIDTH - MARGIN.right + 12} ${MARGIN.top + 12 + 20 * index}h18" stroke="${color}" stroke-width="3"/><text x="${WIDTH - MARGIN.right + 36}" y="${MARGIN.top + 16 + 20 * index}">${escaped(name)}</text>`,
    ),
    '</svg>',
  ]
  return `${parts.join('\n')}\n`
}

/** Each name once: several lines may share one. */
function named(lines: readonly Line[]): Line[] {
  return [...new Map(lines.map((line) => [line.name, line])).values()]
}

function part(value: number, { from, to, log = false }: Axis): number {
  const clipped = Math.min(to, Math.max(from, value))
  return log ? Math.log(clipped / from) / Math.log(to / from) : (clipped - from) / (to - from)
}

function written(value: number, { write = String }: Axis): string {
  return escaped(write(value))
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('"', '&quot;')
}
