/** Loaded into the server before everything else: writes down every second what keeps its event loop busy. */
import { writeFileSync } from 'node:fs'
import { isMainThread } from 'node:worker_threads'

const file = process.env['SOAK_HANDLES_FILE']
if (file !== undefined && isMainThread && process.argv.includes('serve'))
  setInterval(() => writeFileSync(file, String(process.getActiveResourcesInfo().length)), 1000).unref()
