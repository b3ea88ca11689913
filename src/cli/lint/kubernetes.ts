import { SlipwayError } from '../../core/errors.ts'
import { API_VERSION } from '../../contract/schema.ts'
import { lint, LINT_RULES } from '../../kubernetes/lint/lint.ts'
import { nearest } from '../../kubernetes/lint/nearest.ts'
import { note, print, style, wrapped } from '../output.ts'
import { readFiles } from './files.ts'
import type { Command } from 'commander'
import type { Finding } from '../../kubernetes/lint/lint.ts'
import type { KubernetesObject } from '../../kubernetes/object.ts'
import type { Severity } from '../../kubernetes/lint/rule.ts'
import type { FilesRead } from './files.ts'

interface LintOptions {
  readonly ignore?: readonly string[]
  readonly explain?: string
  readonly strict?: boolean
  readonly json?: boolean
}

export function define(command: Command): void {
  command
    .argument('[paths...]', 'files, folders (all *.yaml, *.yml and *.json below), or - for standard input')
    .option('--ignore <rule...>', 'rules that are left out')
    .option('--strict', 'fail on warnings, too')
    .option('--explain <rule>', 'what a rule asks for, what happens without, and where to read more')
    .option('--json', 'print JSON')
    .addHelpText(
      'after',
      '\nAll files are checked together: a Service finds its pods in another file. Exits with 1 where there are errors (with --strict also\nwarnings), and with 2 where something could not be read. An object sets rules aside by an annotation with its reason:\n  slipway.dev/lint-ignore: "image-digest, single-pod: a demo"\n\nExamples:\n  slipway lint k8s deploy/ service.yaml\n  helm template CHART | slipway lint k8s -\n  slipway lint k8s --explain liveness-readiness',
    )
    .action(lintKubernetes)
}

async function lintKubernetes(paths: readonly string[], options: LintOptions): Promise<void> {
  if (options.explain !== undefined) {
    explain(options.explain, options.json === true)
    return
  }
  if (paths.length === 0) throw new SlipwayError('SLW_USAGE', 'which manifests? Name files or folders, or - for standard input')
  const ignore = (options.ignore ?? []).flatMap((rules) => rules.split(','))
  for (const rule of ignore) ruleOf(rule)
  const read = await readFiles(paths)
  const result = lint(
    read.objects.map(({ object }) => object),
    ignore,
  )
  const origins: Origins = new Map(read.objects.map((one) => [one.object, one]))
  const findings = result.findings.map((finding) => placed(finding, origins))
  const ignored = result.ignored.map((finding) => ({ ...placed(finding, origins), reason: finding.reason }))
  const counts = countsOf(findings)
  if (options.json === true)
    print(
      JSON.stringify({ apiVersion: API_VERSION, kind: 'LintReport', findings, ignored, unreadable: read.unreadable, counts }, undefined, 2),
    )
  else printFindings(findings, read, ignored.length)
  process.exitCode = read.unreadable.length > 0 ? 2 : counts.error > 0 || (options.strict === true && counts.warning > 0) ? 1 : 0
}

interface PlacedFinding {
  readonly file: string
  readonly line: number
  readonly column: number
  readonly severity: Severity
  readonly rule: string
  readonly object: string
  readonly namespace?: string
  /** Of the field, as `kubectl explain` has it. */
  readonly field: string
  readonly message: string
}

type Origins = ReadonlyMap<KubernetesObject, FilesRead['objects'][number]>

function placed({ object, path, severity, rule, message }: Finding, origins: Origins): PlacedFinding {
  const { file, place } = origins.get(object)!
  return {
    file,
    ...place(path),
    severity,
    rule,
    object: `${object.kind}/${object.metadata.name}`,
    ...(object.metadata.namespace !== undefined && { namespace: object.metadata.namespace }),
    field: path.map((key, index) => (typeof key === 'number' ? `[${key}]` : `${index === 0 ? '' : '.'}${key}`)).join(''),
    message,
  }
}

function countsOf(findings: readonly PlacedFinding[]): Record<Severity, number> {
  const counts = { error: 0, warning: 0, advice: 0 }
  for (const { severity } of findings) counts[severity]++
  return counts
}

const COLORS = { error: 'red', warning: 'yellow', advice: 'cyan' } as const

function printFindings(findings: readonly PlacedFinding[], { objects, unreadable, foreign, files }: FilesRead, ignored: number): void {
  for (const { file, line, column, severity, rule, object, message } of findings)
    print(`${file}:${line}:${column}: ${style(COLORS[severity], severity)}: ${object}: ${message} ${style('dim', `(${rule})`)}`)
  for (const { file, line, column, message } of unreadable) note(`${file}:${line}:${column}: ${message}`)
  const counts = countsOf(findings)
  const many = (count: number, one: string, several = `${one}s`): string => `${count} ${count === 1 ? one : several}`
  note(
    [
      `${many(objects.length, 'object')} in ${many(files, 'file')}: ${many(counts.error, 'error')}, ${many(counts.warning, 'warning')}, ${counts.advice} advice`,
      ...(ignored > 0 ? [`${ignored} set aside by annotation`] : []),
      ...(foreign > 0 ? [`${many(foreign, 'document')} that ${foreign === 1 ? 'is' : 'are'} no manifest skipped`] : []),
      ...(findings.length > 0 ? ['`--explain RULE` says why'] : []),
    ].join('; '),
  )
}

/** @throws SLW_USAGE with the rule that was probably meant */
function ruleOf(id: string): (typeof LINT_RULES)[number] {
  const rule = LINT_RULES.find((one) => one.id === id)
  if (rule !== undefined) return rule
  const ids = LINT_RULES.map((one) => one.id)
  const meant = nearest(id, ids)
  throw new SlipwayError(
    'SLW_USAGE',
    `there is no rule ${id}${meant === undefined ? `; there are ${ids.join(', ')}` : `: did you mean ${meant}?`}`,
  )
}

function explain(id: string, json: boolean): void {
  const rule = ruleOf(id)
  if (json) print(JSON.stringify(rule, undefined, 2))
  else
    print(
      [`${style('bold', rule.id)} (${rule.severity})`, wrapped(rule.what, '  '), wrapped(rule.why, '  '), `  ${rule.readMore}`].join('\n'),
    )
}
