/** Schemathesis reads a description of an API and attacks every route in it, with data that fits the schema and data that does not. */
import { spawn } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pythonEnv } from '../../scripts/python-env.ts'

const SEED = 8470
/** The longest takes fifteen seconds on two quiet cores; slow and busy ones have made a run ten times as long. */
const TIMEOUT_MS = 280_000
/**
 * A schema says less than a server asks for: that all inputs have as many rows, that a model is there. So its notion of what must be
 * accepted, and of what must be refused, is not the server's.
 */
const NOT_CHECKED = 'positive_data_acceptance,negative_data_rejection'

export interface Report {
  readonly complete: boolean
  readonly operations: { readonly total: number; readonly tested: number }
  readonly test_cases: { readonly generated: number; readonly errored: number }
  readonly failures: readonly unknown[]
  readonly errors: readonly unknown[]
}

export interface Attack {
  /** Of the description. */
  readonly url: string
  /** For what it leaves behind where it runs. */
  readonly folder: string
  /** For each operation. */
  readonly examples: number
  /** Further words of the command. */
  readonly more?: readonly string[]
  /** Further checks that are left out, with commas. */
  readonly notChecked?: string
}

/** Runs it to its end. @returns its exit code, what it printed and what it reported. @throws where it took too long, or has reported nothing */
export async function attack({
  url,
  folder,
  examples,
  more = [],
  notChecked,
}: Attack): Promise<{ code: number | null; output: string; report: Report }> {
  const reportPath = join(folder, 'report.json')
  const { code, output } = await python(folder, [
    '-m',
    'schemathesis.cli',
    'run',
    url,
    '--no-color',
    '--seed',
    String(SEED),
    '--max-examples',
    String(examples),
    '--generation-database',
    'none',
    '--checks',
    'all',
    '--exclude-checks',
    notChecked === undefined ? NOT_CHECKED : `${NOT_CHECKED},${notChecked}`,
    '--continue-on-failure',
    '--request-timeout',
    '10',
    '--report',
    'json',
    '--report-json-path',
    reportPath,
    ...more,
  ])
  const text = await readFile(reportPath, 'utf8').catch(() => '')
  // It is written last: one that was ended has begun it at most.
  if (text === '') throw new Error(`it ended with ${code} and has reported nothing; it said:\n${output.slice(-6000)}`)
  return { code, output, report: JSON.parse(text) as Report }
}

/** Python of the conformance environment, in a folder of its own. @throws where it took too long and was ended */
export async function python(folder: string, args: readonly string[]): Promise<{ code: number | null; output: string }> {
  const executable = await pythonEnv('conformance')
  const began = performance.now()
  const child = spawn(executable, args, {
    cwd: folder,
    timeout: TIMEOUT_MS,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text: string) => (output += text))
  return await new Promise((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => {
      const afterS = Math.round((performance.now() - began) / 1000)
      if (child.killed)
        reject(new Error(`it was ended after ${afterS} s (${TIMEOUT_MS / 1000} s are allowed); the last it said:\n${output.slice(-6000)}`))
      else resolve({ code, output })
    })
  })
}
