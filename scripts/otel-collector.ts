/**
 * An OpenTelemetry Collector for the tests, built from Go modules with the collector's own builder: OTLP over HTTP and gRPC
 * in, OTLP over HTTP out. Made once (minutes) and kept outside the tree.
 *
 *     collector=$(scripts/node scripts/otel-collector.ts)
 */
import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { cacheFolder, obtain, runTool } from './python-env.ts'

/** Components are versioned together; what is declared stable has a version of its own, of the same release. */
const VERSION = '0.155.0'
const STABLE_VERSION = '1.61.0'
const MODULE = 'go.opentelemetry.io/collector'

/** What it consists of; it is made anew when this changes. */
const COMPONENTS = `
receivers: [{ gomod: ${MODULE}/receiver/otlpreceiver v${VERSION} }]
exporters: [{ gomod: ${MODULE}/exporter/otlphttpexporter v${VERSION} }]
providers:
  - { gomod: ${MODULE}/confmap/provider/envprovider v${STABLE_VERSION} }
  - { gomod: ${MODULE}/confmap/provider/fileprovider v${STABLE_VERSION} }
`

/** @returns the path of the collector's binary */
export async function otelCollector(): Promise<string> {
  const digest = createHash('sha256').update(COMPONENTS).digest('hex').slice(0, 12)
  return await obtain(join(cacheFolder(), `otel-collector-${digest}`), 'otel-collector', async (folder) => {
    await mkdir(folder, { recursive: true })
    const config = join(folder, 'builder.yaml')
    const dist = { name: 'otel-collector', module: 'slipway.test/collector', output_path: folder, version: VERSION }
    await writeFile(config, `dist: ${JSON.stringify(dist)}${COMPONENTS}`)
    await runTool('go', ['run', `${MODULE}/cmd/builder@v${VERSION}`, '--config', config]).catch((error: NodeJS.ErrnoException) => {
      throw error.code === 'ENOENT' ? new Error('Go is needed to build the collector, and there is no go on the PATH') : error
    })
  })
}

if (import.meta.main) {
  try {
    console.log(await otelCollector())
  } catch (error) {
    console.error(`otel-collector: ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
  }
}
