import { formatBytes } from '../../core/units.ts'
import { imageReport } from '../../images/inspect/inspect.ts'
import { readImage } from '../../images/inspect/read-image.ts'
import { parseReference } from '../../images/registry/reference.ts'
import { print, style, table, wrapped } from '../output.ts'
import { looksInto, openImage } from './open-image.ts'
import type { Command } from 'commander'
import type { ChangedFile } from '../../images/inspect/compare.ts'
import type { ImageReport, Shown } from '../../images/inspect/inspect.ts'
import type { ReadImage } from '../../images/inspect/read-image.ts'
import type { OpenOptions } from './open-image.ts'

interface InspectOptions extends OpenOptions {
  readonly compare?: string
  readonly json?: boolean
}

export function defineInspect(command: Command): void {
  looksInto(command)
    .option('--compare <image>', 'what is there already: shows layers that both have, bytes of a pull, and files that differ')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nReads every layer, and unpacks nothing to the disk.')
    .action(inspect)
}

async function inspect(name: string, options: InspectOptions): Promise<void> {
  const { read, tag } = await readNamed(name, options)
  const other =
    options.compare === undefined
      ? undefined
      : (
          await readNamed(options.compare, {
            platform: options.platform,
            plainHttp: options.plainHttp === true,
            isForeign: hostIn(name) !== hostIn(options.compare),
          })
        ).read
  const report = imageReport(read, { tag, other })
  print(options.json === true ? JSON.stringify({ apiVersion: 'slipway/v1', kind: 'ImageReport', ...report }) : text(report))
}

function hostIn(name: string): string | undefined {
  try {
    return parseReference(name).host
  } catch {
    return undefined
  }
}

async function readNamed(name: string, options: OpenOptions): Promise<{ readonly read: ReadImage; readonly tag: string | undefined }> {
  await using open = await openImage(name, options)
  return { read: await readImage(open.source, open.image), tag: open.tag }
}

const BAR = 24
/** Characters of what made a layer. */
const MADE = 48
const SHOWN = 5

function text(report: ImageReport): string {
  const { config, comparison, layers, wasted, duplicates, warnings } = report
  const largest = Math.max(...layers.map(({ unpackedBytes }) => unpackedBytes), 1)
  const about: string[][] = [
    ['image', report.digest],
    ['platform', report.platform],
    ['created', report.created ?? ''],
    ['size', `${formatBytes(report.compressedBytes)} compressed, ${formatBytes(report.unpackedBytes)} unpacked, ${layers.length} layers`],
    ['efficiency', `${(report.efficiency * 100).toFixed(1)} %, ${formatBytes(report.wastedBytes)} wasted`],
    ['user', config.User ?? ''],
    ['entrypoint', (config.Entrypoint ?? []).join(' ')],
    ['command', (config.Cmd ?? []).join(' ')],
    ['folder', config.WorkingDir ?? ''],
    ['environment', (config.Env ?? []).map((variable) => variable.slice(0, 60)).join(', ')],
    ['ports', Object.keys(config.ExposedPorts ?? {}).join(', ')],
    ['health', (config.Healthcheck?.Test ?? []).join(' ')],
    ...Object.entries(config.Labels ?? {}).map(([key, value]) => ['label', `${key}=${value}`]),
  ]
  const sections = [
    table(about.filter(([, value]) => value !== '')),
    table(
      layers.map((layer, at) => layerRow(layer, at, largest)),
      ['layer', '', 'compressed', 'unpacked', 'wasted', 'made by'],
    ),
  ]
  for (const [at, layer] of layers.entries()) {
    const rows = [
      ...layer.largestFolders.slice(0, 3).map(({ path, bytes }) => [formatBytes(bytes), `${path}/`]),
      ...layer.largestFiles.slice(0, 3).map(({ path, bytes }) => [formatBytes(bytes), path]),
    ]
    if (rows.length > 0) sections.push(`${style('bold', `largest of layer ${at + 1}`)}\n${table(rows)}`)
  }
  if (wasted.count > 0)
    sections.push(
      section(`wasted: ${wasted.count} files that later layers write over or take away`, wasted, ({ bytes, copies, path }) => [
        formatBytes(bytes),
        copies > 1 ? `${copies} times` : '',
        path,
      ]),
    )
  if (duplicates.count > 0)
    sections.push(
      section(`the same bytes in several files: ${duplicates.count}`, duplicates, ({ sparedBytes, paths }) => [
        formatBytes(sparedBytes),
        `${paths.slice(0, 3).join(', ')}${paths.length > 3 ? `, and ${paths.length - 3} more` : ''}`,
      ]),
    )
  if (comparison !== undefined) {
    const { added, changed, removed, sharedLayers, sharedBytes, pullBytes } = comparison
    const row =
      (sign: string): ((file: ChangedFile) => string[]) =>
      ({ bytes, path, what }) => [sign, formatBytes(bytes), path, what.join(', ')]
    const lines = [
      ...added.items.slice(0, SHOWN).map(row('+')),
      ...changed.items.slice(0, SHOWN).map(row('~')),
      ...removed.items.slice(0, SHOWN).map(row('-')),
    ]
    sections.push(
      [
        style('bold', `beside ${comparison.with}`),
        `${sharedLayers} of ${layers.length} layers are there already (${formatBytes(sharedBytes)}); a pull moves ${formatBytes(pullBytes)}`,
        `files: ${added.count} added, ${changed.count} changed, ${removed.count} removed`,
        ...(lines.length > 0 ? [table(lines)] : []),
      ].join('\n'),
    )
  }
  if (warnings.length > 0)
    sections.push(
      warnings
        .map(({ message, paths }) =>
          wrapped(
            `${message}${paths === undefined ? '' : `: ${paths.slice(0, SHOWN).join(', ')}`}`,
            `${style('yellow', 'warning:')} `,
            '  ',
          ),
        )
        .join('\n'),
    )
  return sections.join('\n\n')
}

function layerRow(
  { compressedBytes, unpackedBytes, wastedBytes, createdBy }: ImageReport['layers'][number],
  at: number,
  largest: number,
): string[] {
  const length = unpackedBytes === 0 ? 0 : Math.max(1, Math.round((unpackedBytes / largest) * BAR))
  const made = (createdBy ?? '').replaceAll(/\s+/g, ' ')
  return [
    String(at + 1),
    '█'.repeat(length).padEnd(BAR, '·'),
    formatBytes(compressedBytes),
    formatBytes(unpackedBytes),
    wastedBytes === 0 ? '' : formatBytes(wastedBytes),
    made.length > MADE ? `${made.slice(0, MADE - 3)}...` : made,
  ]
}

function section<T>(title: string, shown: Shown<T>, row: (item: T) => string[]): string {
  const rest = shown.count - Math.min(SHOWN, shown.items.length)
  return `${style('bold', title)}\n${table(shown.items.slice(0, SHOWN).map(row))}${rest > 0 ? `\n(and ${rest} more: --json)` : ''}`
}
