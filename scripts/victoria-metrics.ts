/**
 * VictoriaMetrics for the tests, built from its Go module: it answers like Prometheus and is not one. Made once (minutes) and kept
 * outside the tree.
 *
 *     server=$(scripts/node scripts/victoria-metrics.ts)
 */
import { goProgram } from './go-program.ts'

/** The newest that Go 1.26 builds. */
const VERSION = '1.150.0'
const PROGRAM = 'github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics'

/** @returns the path of the server's binary */
export async function victoriaMetrics(): Promise<string> {
  return await goProgram({ name: 'victoria-metrics', version: VERSION, program: PROGRAM, what: 'VictoriaMetrics' })
}

if (import.meta.main) {
  try {
    console.log(await victoriaMetrics())
  } catch (error) {
    console.error(`victoria-metrics: ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
  }
}
