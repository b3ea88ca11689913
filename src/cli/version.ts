import { createRequire } from 'node:module'
import { slipwayVersion } from '../core/version.ts'
import { print } from './output.ts'
import type { Command } from 'commander'

export function define(command: Command): void {
  command.option('--json', 'print JSON').action((options: { json?: boolean }) => {
    const versions = { slipway: slipwayVersion(), node: process.version, onnxruntime: runtimeVersion() ?? 'not installed' }
    print(
      options.json === true
        ? JSON.stringify(versions)
        : Object.entries(versions)
            .map(([name, version]) => `${name} ${version}`)
            .join('\n'),
    )
  })
}

/** Version of the installed onnxruntime-node, without loading it. */
export function runtimeVersion(): string | undefined {
  try {
    return (createRequire(import.meta.url)('onnxruntime-node/package.json') as { version: string }).version
  } catch {
    return undefined
  }
}
