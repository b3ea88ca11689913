import { accessSync, constants, existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { usableCores } from '../core/cores.ts'
import { messageOf } from '../core/errors.ts'
import { runtimeVersion } from './version.ts'
import { print, style, table } from './output.ts'
import type { Command } from 'commander'

interface Finding {
  readonly check: string
  readonly ok: boolean
  /** False where a failed check is only a warning, which does not prevent serving. */
  readonly needed: boolean
  readonly found: string
  readonly cure?: string
}

export function define(command: Command): void {
  command.option('--json', 'print JSON').action(async (options: { json?: boolean }) => {
    const findings = [node(), await runtime(), await pictures(), cores(), await port(), temporaryFolder()]
    if (options.json === true) print(JSON.stringify(findings))
    else
      print(
        table(
          findings.map(({ check, ok, needed, found, cure }) => [
            ok ? style('green', 'ok') : needed ? style('red', 'FAIL') : style('yellow', 'warn'),
            check,
            ok || cure === undefined ? found : `${found}; ${cure}`,
          ]),
        ),
      )
    if (findings.some((finding) => !finding.ok && finding.needed)) process.exitCode = 3
  })
}

function node(): Finding {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  return {
    check: 'Node',
    ok: major > 24 || (major === 24 && minor >= 15),
    needed: true,
    found: process.version,
    cure: 'install Node 24.15 or newer',
  }
}

async function runtime(): Promise<Finding> {
  const cure = 'npm install --ignore-scripts onnxruntime-node'
  const version = runtimeVersion()
  if (version === undefined) return { check: 'ONNX Runtime', ok: false, needed: true, found: 'not installed', cure }
  try {
    await import('onnxruntime-node')
    return { check: 'ONNX Runtime', ok: true, needed: true, found: `${version}, CPU` }
  } catch (error) {
    return { check: 'ONNX Runtime', ok: false, needed: true, found: messageOf(error), cure }
  }
}

async function pictures(): Promise<Finding> {
  try {
    await import('sharp')
    return { check: 'pictures', ok: true, needed: false, found: 'sharp loads' }
  } catch {
    return {
      check: 'pictures',
      ok: false,
      needed: false,
      found: 'sharp is not installed: models of pictures cannot be served',
      cure: 'npm install sharp',
    }
  }
}

function cores(): Finding {
  const { count, limitedBy } = usableCores()
  return { check: 'cores', ok: true, needed: false, found: `${count} (${limitedBy})` }
}

async function port(): Promise<Finding> {
  const free = await new Promise<boolean>((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(8470, '127.0.0.1', () => server.close(() => resolve(true)))
  })
  return { check: 'port 8470', ok: free, needed: false, found: free ? 'free' : 'taken', cure: 'serve on another with --port' }
}

function temporaryFolder(): Finding {
  const folder = tmpdir()
  try {
    accessSync(folder, constants.W_OK)
    return { check: 'temporary folder', ok: true, needed: false, found: folder }
  } catch {
    return {
      check: 'temporary folder',
      ok: false,
      needed: false,
      found: `${folder} ${existsSync(folder) ? 'cannot be written' : 'does not exist'}: starts are slower without the compile cache`,
      cure: 'set TMPDIR',
    }
  }
}
