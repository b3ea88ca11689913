import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import { GatesDocument } from '../../contract/gates.ts'
import { concludeGates, verdictWith } from '../../contract/gate-report.ts'
import { formatFileIssues, readYaml } from '../../contract/read-yaml.ts'
import { API_VERSION } from '../../contract/schema.ts'
import { isSlipwayError, messageOf, SlipwayError } from '../../core/errors.ts'
import { junitOf } from '../../gates/reports/junit.ts'
import { markdownOf } from '../../gates/reports/markdown.ts'
import { asksRegistry, part, show } from '../control-plane/registry-command.ts'
import { note } from '../output.ts'
import { findChampion, findSubject } from './subject.ts'
import { runGates } from './run-gates.ts'
import { gateText, gateView } from './views.ts'
import type { Command } from 'commander'
import type { GateReport, GateVerdict } from '../../contract/gate-report.ts'
import type { RegistryOptions } from '../control-plane/registry-command.ts'
import type { FarPlaceOptions } from '../model/far-place.ts'
import type { Subject } from './subject.ts'

interface GateOptions extends RegistryOptions, FarPlaceOptions {
  readonly gates?: string
  readonly data?: string
  readonly label?: string
  readonly against?: string
  readonly report?: string[]
  readonly sandboxPython?: string
}

const USUAL_FILE = 'gates.yaml'
/** Name of what --data checks: nothing that a policy asks for by the name of a file of gates. */
const DATA_GATE = 'data'
/** What is no verdict of a gate: a wrong option, a dataset that is not there, a control plane that does not answer. */
const EXIT_ERROR = 2
const EXITS: Readonly<Record<GateVerdict, number>> = { pass: 0, fail: 1, error: EXIT_ERROR, insufficient: 3, waiting: 3 }

export function define(command: Command): void {
  asksRegistry(command.argument('<version>', 'MODEL@ALIAS, MODEL/NUMBER, or a model file or folder'), { changes: true })
    .option('--gates <file>', `what is checked. Default: ${USUAL_FILE} in this folder`)
    .option(
      '--data <file>',
      'instead of a file of gates: a dataset (CSV, JSON Lines, Parquet; a path, https:// or s3://) and the usual checks',
    )
    .option('--label <column>', 'column of --data with the truth')
    .option(
      '--against <version>',
      'what it is compared with; "none" for nothing. Default: the alias champion of the model, where there is one',
    )
    .option('--report <file...>', 'also write a report: .md, .xml (JUnit) or .json')
    .option('--sandbox-python <path>', 'interpreter with scikit-learn, in which a model that is a pickle runs confined')
    .option('--s3-endpoint <url>', 'of a server other than Amazon; or MLFLOW_S3_ENDPOINT_URL, AWS_ENDPOINT_URL_S3')
    .option('--s3-region <name>', 'default: as AWS tools find it')
    .addHelpText(
      'after',
      '\nExits with 0 where the version has passed, 1 where it has failed, 2 where that cannot be told, and 3 where there is not enough data or a person has to approve.\nThe result of a registered version is kept with it (not with --dry-run), where policies ask for it.\n\nExamples:\n  slipway gate churn@candidate\n  slipway gate churn/3 --data holdout.csv --label churned --report report.md report.xml\n  slipway gate examples/churn --gates examples/gates/gates.yaml',
    )
    .action(gate)
}

async function gate(version: string, options: GateOptions): Promise<void> {
  const scratch = await mkdtemp(join(tmpdir(), 'slipway-gate-'))
  try {
    const { document, text, base } = await readGates(options)
    const writers = (options.report ?? []).map(writerOf)
    const subject = await findSubject(version, options, scratch)
    const champion = await findChampion(subject, { against: options.against, options, scratch })
    const progress = (line: string): void => void (process.stderr.isTTY && note(line))
    const report = await runGates({ document, text, base, subject, champion, options, scratch, progress })
    const verdict = verdictWith(concludeGates(report.results), subject.registered?.version.approval.state ?? 'none')
    for (const write of writers) await write(report, verdict)
    if (options.dryRun !== true) await keep(subject, report)
    show({ verdict, ...report }, gateView, options, gateText(report, verdict))
    process.exitCode = EXITS[verdict]
  } catch (error) {
    throw asError(error)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

/** Errors of any kind are no verdict: they end with 2, also those that end other commands with 1 or 3. */
function asError(error: unknown): SlipwayError {
  if (!isSlipwayError(error)) return new SlipwayError('SLW_INTERNAL', messageOf(error), { exitCode: EXIT_ERROR, cause: error })
  return new SlipwayError(error.code, error.message, {
    exitCode: EXIT_ERROR,
    cause: error,
    ...(error.issues !== undefined && { issues: error.issues }),
  })
}

/** The gates of the file that was named, of `gates.yaml`, or the usual ones for a dataset. */
async function readGates(
  options: GateOptions,
): Promise<{ readonly document: GatesDocument; readonly text: string | undefined; readonly base: string }> {
  const { data, label, gates } = options
  if (data !== undefined) {
    if (gates !== undefined)
      throw new SlipwayError('SLW_USAGE', '--data and --gates: give one of them; datasets stand in the file of --gates')
    if (label === undefined) throw new SlipwayError('SLW_USAGE', `--data ${data}: which column has the truth? Give --label COLUMN`)
    return { document: { name: DATA_GATE, datasets: { data: { file: data, label } } }, text: undefined, base: process.cwd() }
  }
  const file = gates ?? USUAL_FILE
  const text = await readFile(file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    const more = gates === undefined ? '; name a file with --gates, or a dataset with --data FILE --label COLUMN' : ''
    throw new SlipwayError('SLW_PATH_NOT_FOUND', `${file} cannot be read (${error.code ?? error.message})${more}`)
  })
  const read = readYaml(text, GatesDocument)
  if ('issues' in read) throw new SlipwayError('SLW_CONFIG_INVALID', formatFileIssues(file, read.issues), { issues: read.issues })
  return { document: read.value, text, base: dirname(resolve(file)) }
}

type Writer = (report: GateReport, verdict: GateVerdict) => Promise<void>

/** @throws SLW_USAGE before anything is measured */
function writerOf(file: string): Writer {
  const text = (report: GateReport, verdict: GateVerdict): string => {
    if (file.endsWith('.md')) return markdownOf(report, verdict)
    if (file.endsWith('.xml')) return junitOf(report)
    return `${JSON.stringify({ apiVersion: API_VERSION, kind: 'GateReport', verdict, ...report }, undefined, 2)}\n`
  }
  if (!/\.(md|xml|json)$/.test(file))
    throw new SlipwayError('SLW_USAGE', `--report ${file}: expected a name that ends in .md, .xml (JUnit) or .json`)
  return async (report, verdict) => await writeFile(file, text(report, verdict))
}

async function keep({ registered }: Subject, report: GateReport): Promise<void> {
  if (registered === undefined) return
  const { client, model, version } = registered
  await client.ask(`/models/${part(model.name)}/versions/${version.version}/gates`, { method: 'POST', body: report })
}
