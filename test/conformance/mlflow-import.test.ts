/** What a real `mlflow server` has, made by its own client, is brought over and found again by that client. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import { basename, join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { promisify } from 'node:util'
import { pythonEnv } from '../../scripts/python-env.ts'
import { slipway } from '../cli/slipway.ts'
import { letGoAll } from '../control-plane/let-go.ts'
import { upInChild } from '../control-plane/up-in-child.ts'
import { newMigratedPostgres } from '../storage/databases.ts'
import { startS3Server } from '../storage/s3-server.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { startReferenceServer } from './mlflow/reference-server.ts'
import type { AddressInfo } from 'node:net'
import type { S3Server } from '../storage/s3-server.ts'

/** Makes things with gaps, stages, aliases, deleted runs and files below files; prints what a client finds. */
const FILL = `
import sys, mlflow
from mlflow import MlflowClient
mlflow.set_tracking_uri(sys.argv[1])
c = MlflowClient()
e = c.create_experiment("first", tags={"team": "a"})
gone = c.create_experiment("gone")
c.delete_experiment(gone)
for i in range(3):
    with mlflow.start_run(experiment_id=e, run_name=f"run-{i}") as run:
        mlflow.log_params({"lr": i, "long": "x" * 500})
        for step in range(20):
            mlflow.log_metric("loss", 1 / (step + 1), step=step)
        mlflow.log_metric("bad", float("nan"))
        mlflow.log_text("hello", f"notes/deep/{i}.txt")
        mlflow.log_text("", "empty.txt")
        mlflow.set_tag("kind", "ü 💡")
        if i == 0:
            from sklearn.linear_model import LogisticRegression
            model = LogisticRegression().fit([[0.0], [1.0]], [0, 1])
            mlflow.sklearn.log_model(model, name="model", registered_model_name="clf")
    if i == 2:
        c.delete_run(run.info.run_id)
first = c.get_model_version("clf", "1")
for i in range(3):
    source = dict(source="models:/clf/1") if i == 0 else dict(source=first.source, model_id=first.source.split("/")[-1])
    c.create_model_version("clf", run_id=first.run_id, description=f"copy {i}", tags={"i": str(i)}, **source)
c.delete_model_version("clf", "3")
c.transition_model_version_stage("clf", "2", "Production")
c.set_registered_model_alias("clf", "champion", "4")
c.create_registered_model("it's empty", description="nothing")
`
const LOOK = `
import sys, json, mlflow
from mlflow import MlflowClient
from mlflow.entities import ViewType
mlflow.set_tracking_uri(sys.argv[1])
c = MlflowClient()
out = {}
ex = sorted(c.search_experiments(view_type=ViewType.ALL), key=lambda e: e.name)
# The one that is there from the start is made by each server for itself.
out["experiments"] = [(e.experiment_id, e.name, e.lifecycle_stage, {k: v for k, v in e.tags.items()}, e.experiment_id != "0" and e.creation_time) for e in ex]
runs = sorted(c.search_runs([e.experiment_id for e in ex], run_view_type=ViewType.ALL), key=lambda r: r.info.run_name)
def files(run, path=None):
    found = []
    for f in c.list_artifacts(run, path):
        found += files(run, f.path) if f.is_dir else [(f.path, f.file_size)]
    return found
out["runs"] = [(r.info.run_id, r.info.run_name, r.info.status, r.info.lifecycle_stage, r.info.start_time, r.info.end_time, r.data.params,
  {k: str(v) for k, v in r.data.metrics.items()}, {k: v for k, v in r.data.tags.items() if k != "mlflow.log-model.history"},
  [(m.step, m.value, m.timestamp) for m in c.get_metric_history(r.info.run_id, "loss")], sorted(files(r.info.run_id))) for r in runs]
out["models"] = [(m.name, m.description, m.aliases, m.creation_timestamp) for m in sorted(c.search_registered_models(), key=lambda m: m.name)]
out["versions"] = [(v.name, str(v.version), v.current_stage, v.description, v.run_id, v.tags, v.creation_timestamp) for v in sorted(c.search_model_versions(), key=lambda v: int(v.version))]
out["predicts"] = [int(x) for x in mlflow.sklearn.load_model("models:/clf@champion").predict([[0.0], [1.0]])]
print("FOUND " + json.dumps(out, sort_keys=True))
`

async function python(script: string, uri: string): Promise<string> {
  const { stdout } = await promisify(execFile)(await pythonEnv('mlflow-3'), ['-c', script, uri], {
    maxBuffer: 64 * 1024 * 1024,
    timeout: 180_000,
    env: { ...process.env, MLFLOW_TRACKING_URI: uri },
  })
  return stdout
}

async function look(uri: string): Promise<unknown> {
  const line = (await python(LOOK, uri)).split('\n').find((text) => text.startsWith('FOUND '))
  return JSON.parse(line!.slice('FOUND '.length))
}

describe('an import from mlflow server', { timeout: 600_000 }, () => {
  let reference: Awaited<ReturnType<typeof startReferenceServer>>
  let s3: S3Server
  before(async () => {
    reference = await startReferenceServer()
    await python(FILL, reference.uri)
    s3 = await startS3Server()
  })
  after(async () => {
    await reference[Symbol.asyncDispose]()
    await s3[Symbol.asyncDispose]()
  })

  for (const name of ['SQLite, files', 'PostgreSQL, S3'])
    for (const step of ['import.object', 'import.file'])
      it(`keeps everything, goes on after a kill at ${step}, and counts the same on both sides (${name})`, async () => {
        await using folder = await temporaryFolder()
        const database = name.startsWith('SQLite') ? undefined : await newMigratedPostgres()
        const place = database === undefined ? [] : ['--db', database, '--objects', s3.urlOf(basename(folder.path))]
        const args = ['--data', join(folder.path, 'data'), '--no-server', '--allow-private-addresses', ...place]
        const trigger = await folder.write('now', '')
        {
          await using plane = await upInChild(args, { SLIPWAY_FAIL_POINTS: `${step}:kill@${trigger}` })
          const cut = await slipway(['registry', 'import', '--from', reference.uri, '--url', plane.url])
          assert.notEqual(cut.code, 0)
          assert.equal(await plane.exit, 'SIGKILL')
        }
        if (database !== undefined) await letGoAll(database)
        await using plane = await upInChild(args)
        const done = await slipway(['registry', 'import', '--from', reference.uri, '--url', plane.url, '-o', 'json'])
        assert.equal(done.code, 0, done.stderr)
        const status = JSON.parse(done.stdout)
        assert.deepEqual(status.here, status.there)
        assert.deepEqual([status.there.runs, status.there.models, status.there.versions, status.there.aliases], [3, 2, 3, 1])
        const again = await slipway(['registry', 'import', '--from', reference.uri, '--url', plane.url])
        assert.equal(again.code, 0, again.stderr)
        assert.match(again.stdout, /versions +3 +3/)
        assert.deepEqual(await look(plane.url), await look(reference.uri))
        // Numbers go on behind the largest.
        const made = await plane.call('POST', 'model-versions/create', { name: 'clf', source: 's3://b/x' })
        assert.equal(made.body['model_version'].version, '5')
      })
})

it('a server that lies, stalls or is somebody else is told of, and harms nobody', async () => {
  const answers: Record<string, (path: string) => string> = {
    'no json': () => '<html>hello</html>',
    'a file outside': (path) =>
      path.includes('experiments/search')
        ? JSON.stringify({ experiments: [{ experiment_id: '7', name: 'e' }] })
        : path.includes('runs/search')
          ? JSON.stringify({ runs: [{ info: { run_id: 'a'.repeat(32), experiment_id: '7' } }] })
          : path.includes('artifacts/list')
            ? JSON.stringify({ files: [{ path: '../../etc/passwd', is_dir: false }] })
            : '{}',
    'folders without end': (path) =>
      path.includes('experiments/search')
        ? JSON.stringify({ experiments: [{ experiment_id: '7', name: 'e' }] })
        : path.includes('runs/search')
          ? JSON.stringify({ runs: [{ info: { run_id: 'b'.repeat(32), experiment_id: '7' } }] })
          : path.includes('artifacts/list')
            ? JSON.stringify({ files: [{ path: 'again', is_dir: true }] })
            : '{}',
  }
  let answer = answers['no json']!
  const server = createServer((request, response) => {
    request.resume()
    response.setHeader('content-type', 'application/json').end(answer(request.url ?? ''))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  await using _server = { [Symbol.asyncDispose]: async () => void server.close() }
  const from = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  await using folder = await temporaryFolder()
  await using plane = await upInChild(['--data', folder.path, '--no-server', '--allow-private-addresses'])
  for (const [what, pattern] of [
    ['no json', /not as MLflow does/],
    ['a file outside', /Invalid path/],
    ['folders without end', /without end/],
  ] as const) {
    answer = answers[what]!
    const { code, stderr } = await slipway(['registry', 'import', '--from', from, '--url', plane.url])
    assert.equal(code, 7, what)
    assert.match(stderr, pattern)
  }
  assert.equal((await fetch(`${plane.url}/health`)).status, 200)
  await using closed = await upInChild(['--data', join(folder.path, 'closed'), '--no-server'])
  const refused = await slipway(['registry', 'import', '--from', from, '--url', closed.url])
  assert.match(refused.stderr, /--allow-private-addresses/)
  const secret = await folder.write('token', 'top-secret-token')
  const gone = await slipway(['registry', 'import', '--from', 'http://127.0.0.1:1', '--from-token-file', secret, '--url', plane.url])
  assert.equal(gone.code, 7)
  assert.ok(!`${gone.stderr}${gone.stdout}${plane.said()}`.includes('top-secret-token'))
})
