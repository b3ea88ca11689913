import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cp, readdir, readFile, symlink } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { example, freePort, ROOT, serveExamples } from '../fixtures.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { commands } from './commands-of.ts'
import type { SlipwayServer } from '../../src/server/start-server.ts'

async function pages(): Promise<string[]> {
  // These have tests of their own: their commands need one another.
  const apart = new Set([
    'clients.md',
    'clouds.md',
    'control-plane.md',
    'gates.md',
    'kubernetes.md',
    'kubernetes-tools.md',
    'images.md',
    'notifications.md',
    'records.md',
    'registry.md',
    'rollouts.md',
    'text.md',
    'traffic.md',
    'years.md',
  ])
  const names = (await readdir(join(ROOT, 'docs/guides'))).filter((name) => name.endsWith('.md') && !apart.has(name))
  const guides = names.map((name) => `docs/guides/${name}`)
  const examples = ['churn', 'digits', 'recommend'].map((name) => `examples/${name}/README.md`)
  return ['README.md', 'docs/start.md', ...guides, ...examples]
}

/** Dialects of other servers that have a port of their own, by the port that the pages give them. */
const OTHERS: Readonly<Record<string, string>> = { 8080: 'torchserve', 8501: 'tfserving' }

describe('what the pages tell people to type works', () => {
  const ports = new Map<string, number>()
  let folder: Awaited<ReturnType<typeof temporaryFolder>>
  let server: SlipwayServer
  before(async () => {
    folder = await temporaryFolder()
    await cp(join(example('churn'), 'model.onnx'), join(folder.path, 'model.onnx'))
    for (const name of ['examples', 'scripts', 'bin', 'src', 'node_modules', 'package.json'])
      await symlink(join(ROOT, name), join(folder.path, name))
    await symlink(join(ROOT, 'bin/slipway'), join(folder.path, 'slipway'))
    for (const port of Object.keys(OTHERS)) ports.set(port, await freePort())
    server = await serveExamples(['churn', 'digits', 'recommend'], {
      defaultModel: 'churn',
      serving: { instances: 1 },
      dialects: ['v2,predict,kserve-v1', ...[...ports].map(([port, free]) => `${OTHERS[port]}@${free}`)].join(','),
    })
  })
  after(async () => {
    await server.close()
    await folder[Symbol.asyncDispose]()
  })

  it('each command of each page ends with success', async () => {
    let count = 0
    for (const page of await pages()) {
      for (const command of commands(await readFile(join(ROOT, page), 'utf8'))) {
        // What is asked is rewritten below: it has to be what a server listens on that was told no port.
        assert.doesNotMatch(command, /http:\S+:8471\b/, `${page}: that is the port of gRPC`)
        // A server would not end: it is checked without serving. The port of the page is that of the test's own server.
        const line = command
          .replace(/(slipway serve(?!.*--dry-run).*)$/, '$1 --dry-run')
          .replace(/(slipway tune(?!.*--budget).*)$/, '$1 --budget 1s')
          .replaceAll(/http:\/\/(127\.0\.0\.1|localhost):\d+\/predict(?!ions)/g, () => pageUrl(page, server.url))
          .replaceAll(/http:\/\/(127\.0\.0\.1|localhost):\d+(?=\/v2\/)/g, () => server.url)
          .replaceAll(/http:\/\/127\.0\.0\.1:8470(?=\/v1\/)/g, () => server.url)
          .replaceAll(/http:\/\/127\.0\.0\.1:(\d+)/g, (url, port: string) =>
            ports.has(port) ? `http://127.0.0.1:${ports.get(port)}` : url,
          )
          .replace(/^(slipway inspect) http:\S+/, (_, inspect: string) => `${inspect} ${server.url}`)
        const { code, output } = await run(
          'sh',
          ['-c', line.startsWith('curl') ? line.replace('curl', 'curl --fail-with-body') : line],
          folder.path,
        )
        assert.equal(code, 0, `${page}: ${line}\n${output}`)
        count++
      }
    }
    assert.ok(count >= 12, `only ${count} commands were found`)
  })

  it('the snippets of /docs work when they are pasted', async () => {
    const { paths } = (await (await fetch(`${server.url}/openapi.json`)).json()) as {
      paths: Record<string, { post?: { 'x-codeSamples'?: { lang: string; source: string }[] } }>
    }
    for (const [path, { post }] of Object.entries(paths)) {
      for (const { lang, source } of post?.['x-codeSamples'] ?? []) {
        const [command, args] = {
          Shell: ['sh', ['-c', source]] as const,
          Python: ['python3', ['-c', source]] as const,
          TypeScript: [process.execPath, ['--input-type=module-typescript', '-e', source]] as const,
        }[lang] ?? ['false', []]
        const { output } = await run(command, args, folder.path)
        assert.match(output, /prediction/, `${path} ${lang}`)
      }
    }
  })
})

/** Runs a command without blocking this process, whose server it may be asking. */
function run(command: string, args: readonly string[], cwd: string): Promise<{ code: number; output: string }> {
  const env = { ...process.env, PATH: `${cwd}:${process.env['PATH']}` }
  return new Promise((resolve) => {
    execFile(command, args, { cwd, env, timeout: 60_000 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : 1, output: stdout + stderr }),
    )
  })
}

/** The page of an example talks to that example. */
function pageUrl(page: string, url: string): string {
  const name = /^examples\/(\w+)\//.exec(page)?.[1]
  return name === undefined ? `${url}/predict` : `${url}/models/${name}/predict`
}
