/**
 * VictoriaMetrics for the tests, built from its Go module: it answers like Prometheus and is not one. Made once (minutes) and kept
 * outside the tree.
 *
 *     server=$(scripts/node scripts/victoria-metrics.ts)
 */
import { join } from 'node:path'
import { cacheFolder, obtain, runTool } from './python-env.ts'

/** The newest that Go 1.26 builds. */
const VERSION = '1.150.0'
const PROGRAM = 'github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics'

/** @returns the path of the server's binary */
export async function victoriaMetrics(): Promise<string> {
  return await obtain(join(cacheFolder(), `victoria-metrics-${VERSION}`), 'victoria-metrics', async (folder) => {
    await runTool('go', ['version']).catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'ENOENT' ? new Error('Go is needed to build VictoriaMetrics, and there is no go on the PATH') : error
    })
    await runTool('env', [`GOBIN=${folder}`, 'go', 'install', '-ldflags=-s -w', `${PROGRAM}@v${VERSION}`])
  })
}

if (import.meta.main) {
  try {
    console.log(await victoriaMetrics())
  } catch (error) {
    console.error(`victoria-metrics: ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
  }
}
