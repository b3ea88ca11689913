/**
 * Runs the scripts of this folder with the clients of MLflow 2 and 3 against a server.
 *
 *     scripts/node test/conformance/mlflow/record.ts [URI]
 *
 * prints how the server at URI differs from the reference. Without one, a second reference takes its place, which shows
 * that what `normalise.ts` leaves is the same each time.
 */
import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { pythonEnv } from '../../../scripts/python-env.ts'
import { temporaryFolder } from '../../temporary-folder.ts'
import { compare, report } from './compare.ts'
import { INTENDED } from './differences.ts'
import { startReferenceServer } from './reference-server.ts'
import type { Recording } from './normalise.ts'

/** One process for each client, one after the other, on one server: each has names of its own. */
const CLIENTS = [
  { environment: 'mlflow-3', scripts: ['scenario', 'filters', 'wire'] },
  { environment: 'mlflow-2', scripts: ['scenario', 'filters'] },
] as const
const CLIENT_LIMIT_MS = 240_000

/** The names of all recordings: which client, which script. */
export const RECORDINGS: readonly string[] = CLIENTS.flatMap(({ environment, scripts }) =>
  scripts.map((script) => `${environment} ${script}`),
)

/** Runs all scripts against the server at `uri`, which must be new. @returns the recordings by their names in `RECORDINGS` */
export async function recordServer(uri: string): Promise<ReadonlyMap<string, Recording>> {
  await using folder = await temporaryFolder()
  const recordings = new Map<string, Recording>()
  for (const { environment, scripts } of CLIENTS) {
    const python = await pythonEnv(environment)
    await promisify(execFile)(python, [join(import.meta.dirname, 'recording.py'), uri, folder.path, ...scripts], {
      cwd: folder.path,
      timeout: CLIENT_LIMIT_MS,
      killSignal: 'SIGKILL',
      maxBuffer: 64 * 1024 * 1024,
      env: { ...process.env, PYTHONHASHSEED: '0', MLFLOW_TRACKING_URI: uri },
    })
    for (const script of scripts) {
      const text = await readFile(join(folder.path, `${script}.json`), 'utf8')
      recordings.set(`${environment} ${script}`, JSON.parse(text) as Recording)
    }
  }
  return recordings
}

if (import.meta.main) {
  const [given] = process.argv.slice(2)
  await using reference = await startReferenceServer()
  await using second = given === undefined ? await startReferenceServer() : undefined
  const [expected, found] = await Promise.all([recordServer(reference.uri), recordServer(given ?? second?.uri ?? '')])
  for (const [script, recording] of expected) {
    const subject = found.get(script)
    if (subject === undefined) throw new Error(`there is no recording of ${script}`)
    const { differences, intended, words, stepCount } = compare(recording, subject, {
      script,
      intended: given === undefined ? [] : INTENDED,
    })
    // Two references must agree in their words too.
    const told = given === undefined ? [...differences, ...words] : differences
    if (told.length > 0) process.exitCode = 1
    if (told.length > 0) console.log(report(told))
    console.log(
      `${script}: ${differences.length} differences, ${intended.length} intended, ${words.length} other words, in ${stepCount} steps`,
    )
  }
}
