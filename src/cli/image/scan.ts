import { SlipwayError } from '../../core/errors.ts'
import { cacheFolder } from '../../core/cache-folder.ts'
import { openScratchFolder } from '../../core/scratch-folder.ts'
import { copyImage } from '../../images/copy.ts'
import { SEVERITIES } from '../../images/inspect/cvss.ts'
import { readIgnored } from '../../images/inspect/ignored.ts'
import { findScanner, OTHER_SCANNERS, runScanner } from '../../images/inspect/other-scanners.ts'
import { judgeScan, scanImage } from '../../images/inspect/scan.ts'
import { createLayoutFolder } from '../../images/layout/folder.ts'
import { note, print, style, table } from '../output.ts'
import { looksInto, openImage } from './open-image.ts'
import type { Command } from 'commander'
import type { Severity } from '../../images/inspect/cvss.ts'
import type { OtherScanner } from '../../images/inspect/other-scanners.ts'
import type { Finding, Judged, ScanResult } from '../../images/inspect/scan.ts'
import type { OpenImage, OpenOptions } from './open-image.ts'

interface ScanOptions extends OpenOptions {
  readonly failOn: string
  readonly scanner: string
  readonly database?: string
  readonly ignore?: string
  readonly json?: boolean
}

const CHOICES = ['auto', ...OTHER_SCANNERS, 'own'] as const

export function defineScan(command: Command): void {
  looksInto(command)
    .option('--fail-on <severity>', `exit 3 from this on: ${SEVERITIES.join(', ')}, or never`, 'high')
    .option('--scanner <name>', `${CHOICES.join(', ')}; auto: own with --database, else the first of the others that is installed`, 'auto')
    .option('--database <path>', 'advisories in the OSV format: a folder, a ZIP archive, or one a line (.ndjson)')
    .option('--ignore <file>', 'findings that do not count, each with a reason and the day on which it expires')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nNothing is fetched but the image. Our own check knows packages of npm and of Debian; Trivy and Grype are run with the database\nthat they have.',
    )
    .action(scan)
}

async function scan(name: string, options: ScanOptions): Promise<void> {
  const failOn = severityOption(options.failOn)
  const ignored = options.ignore === undefined ? [] : await readIgnored(options.ignore)
  const chosen = await chooseScanner(options)
  await using open = await openImage(name, options)
  const result = chosen.program === undefined ? await scanImage(open.source, open.image, chosen.database) : await scanByOther(chosen, open)
  const judged = judgeScan(result, { ignored, failOn, today: new Date().toISOString().slice(0, 10) })
  const { scanner, database, packages } = result
  if (options.json === true)
    print(
      JSON.stringify({
        apiVersion: 'slipway/v1',
        kind: 'ImageScan',
        digest: open.image.descriptor.digest,
        scanner,
        database,
        packages,
        failOn,
        failing: judged.failing,
        findings: judged.findings,
        ignored: judged.ignored,
      }),
    )
  else print(text(result, judged))
  for (const { id, expires, reason } of judged.stale)
    note(`${options.ignore}: ${id} (${reason}) ignores nothing: it is not found, or has expired (${expires})`)
  if (judged.failing === 0) return
  note(`${judged.failing} of severity ${failOn} or worse`)
  process.exitCode = 3
}

function severityOption(word: string): Severity | 'never' {
  const found = [...SEVERITIES, 'never' as const].find((each) => each === word)
  if (found === undefined) throw new SlipwayError('SLW_USAGE', `--fail-on ${word}: expected ${SEVERITIES.join(', ')} or never`)
  return found
}

type Chosen =
  | { readonly program: undefined; readonly database: string }
  | { readonly program: string; readonly name: OtherScanner; readonly database?: undefined }

/** @throws SLW_DEPENDENCY_MISSING where there is neither a scanner nor a database: that is not the same as no findings */
async function chooseScanner({ scanner, database }: ScanOptions): Promise<Chosen> {
  if (!CHOICES.some((each) => each === scanner)) throw new SlipwayError('SLW_USAGE', `--scanner ${scanner}: expected ${CHOICES.join(', ')}`)
  if (database !== undefined && scanner !== 'own' && scanner !== 'auto')
    throw new SlipwayError('SLW_USAGE', `--database is for --scanner own; ${scanner} has a database of its own`)
  if (database !== undefined) return { program: undefined, database }
  for (const name of OTHER_SCANNERS) {
    if (scanner !== name && scanner !== 'auto') continue
    const program = await findScanner(name)
    if (program !== undefined) return { program, name }
  }
  const missing =
    scanner === 'own'
      ? 'no database of advisories is named'
      : `${scanner === 'auto' ? 'neither trivy nor grype' : `no ${scanner}`} is installed`
  throw new SlipwayError(
    'SLW_DEPENDENCY_MISSING',
    `the image was not scanned: ${missing}. Either install one of the two, or give --database: advisories in the OSV format, as the archives npm/all.zip and Debian/all.zip that OSV publishes, fetched where there is a network (https://google.github.io/osv.dev/data/)`,
  )
}

/** Others want a place that they know: a layout of this image alone. */
async function scanByOther(
  { name, program }: { readonly name: OtherScanner; readonly program: string },
  { source, image }: OpenImage,
): Promise<ScanResult> {
  await using folder = await openScratchFolder(cacheFolder('scans'))
  await copyImage(source, await createLayoutFolder(folder.path), image.descriptor, { tag: 'scanned' })
  return await runScanner(name, program, folder.path)
}

const COLOURS = { critical: 'red', high: 'red', medium: 'yellow', low: 'dim', unknown: 'dim' } as const

function text({ scanner, database, packages }: ScanResult, { findings, ignored }: Judged): string {
  const by = scanner.name === 'slipway' ? 'our own check' : `${scanner.name}${scanner.version === undefined ? '' : ` ${scanner.version}`}`
  const parts = [
    `scanned by ${by}${packages === undefined ? '' : `, ${packages} packages`}`,
    `database ${[database.path, database.count === undefined ? undefined : `${database.count} advisories`, `of ${database.built ?? 'an unknown day'}`].filter((part) => part !== undefined).join(', ')}`,
  ]
  const counts = SEVERITIES.toReversed().map((severity) => `${findings.filter((one) => one.severity === severity).length} ${severity}`)
  const row = ({ severity, id, package: name, version, fixed, summary }: Finding): string[] => [
    severity,
    name,
    version,
    fixed ?? '-',
    id,
    summary.length > 60 ? `${summary.slice(0, 57)}...` : summary,
  ]
  const lines = findings.length === 0 ? [] : table(findings.map(row), ['severity', 'package', 'version', 'fixed in', 'id', '']).split('\n')
  const coloured = lines.map((line, at) => (at === 0 ? style('bold', line) : style(COLOURS[findings[at - 1]?.severity ?? 'unknown'], line)))
  const rest = ignored.length === 0 ? [] : [`${ignored.length} ignored: ${ignored.map(({ id, reason }) => `${id} (${reason})`).join(', ')}`]
  return [...parts, '', ...coloured, ...(lines.length > 0 ? [''] : []), `${findings.length} found: ${counts.join(', ')}`, ...rest].join(
    '\n',
  )
}
