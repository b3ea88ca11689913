import { spawn } from 'node:child_process'
import { symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { ROOT } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'

/** Runs commands as somebody would who follows a guide in an empty folder beside the examples. @returns what was said, and the exit code */
export async function guideInShell(
  commands: string,
  { ends, limitS, environment = {} }: { ends: string; limitS: number; environment?: Readonly<Record<string, string>> },
): Promise<{ readonly code: number | null; readonly said: string }> {
  await using folder = await temporaryFolder()
  await symlink(join(ROOT, 'examples'), join(folder.path, 'examples'))
  await symlink(join(ROOT, 'bin/slipway'), join(folder.path, 'slipway'))
  // A command that never comes to its end must not outlive the test, nor what was started an error half-way.
  const script = await folder.write('guide.sh', `set -eu\ntrap 'kill ${ends} 2>/dev/null || true' EXIT\n${commands}\necho the end\n`)
  const env = { ...process.env, ...environment, PATH: `${folder.path}:${dirname(process.execPath)}:${process.env['PATH']}` }
  const child = spawn('timeout', [String(limitS), 'bash', script], { cwd: folder.path, env, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const code = await new Promise<number | null>((resolve) => child.once('close', resolve))
  return { code, said }
}
