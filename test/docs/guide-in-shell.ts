import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFile, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { freePort, ROOT } from '../fixtures.ts'
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

/**
 * Runs the commands of a guide that starts a control plane and a server that follows it, on free ports.
 * @param instead what is put in the place of other texts of the page
 * @returns what was said
 */
export async function planeGuide(
  page: string,
  { blocks: count, limitS, instead = {} }: { blocks: number; limitS: number; instead?: Readonly<Record<string, string>> },
): Promise<string> {
  const [port, serverPort] = [await freePort(), await freePort()]
  const written = await readFile(join(ROOT, 'docs/guides', page), 'utf8')
  const text = Object.entries(instead)
    .reduce((all, [before, after]) => all.replaceAll(before, after), written)
    .replaceAll('127.0.0.1:8480', `127.0.0.1:${port}`)
    .replaceAll('127.0.0.1:8470', `127.0.0.1:${serverPort}`)
    .replaceAll('slipway up --data plane', `slipway up --data plane --port ${port}`)
    .replaceAll('--server-name one', `--server-name one --port ${serverPort}`)
  const blocks = [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].map(([, block = '']) => block)
  assert.equal(blocks.length, count)
  const { code, said } = await guideInShell(blocks.join('\n'), {
    ends: '${SERVE:-} ${UP:-} ${HEAR:-}',
    limitS,
    environment: { SLIPWAY_URL: `http://127.0.0.1:${port}` },
  })
  assert.equal(code, 0, said.slice(-4000))
  assert.match(said, /^the end$/m)
  return said
}
