/**
 * Everything that the tests need beside what `npm ci` installs, in one place. `npm test` makes it ready at its start, several at a time;
 * what was made before is found in a few milliseconds. Environments and programs lie in `cacheFolder()`, outside the tree, under names
 * made of what they consist of.
 *
 *     scripts/node scripts/prerequisites.ts          # all of them
 *     scripts/node scripts/prerequisites.ts --list   # and how each is had by hand
 */
import { availableParallelism } from 'node:os'
import { argoConditions } from './argo-conditions.ts'
import { debianBinary } from './debian-package.ts'
import { grpcurl, h2spec } from './grpc-tools.ts'
import { kubernetesCrds } from './kubernetes-crds.ts'
import { cosign, crane, dive, referrersRegistry } from './image-tools.ts'
import { MACHINE_TOOLS, missingTools } from './machine-tools.ts'
import { helm, kustomize } from './manifest-tools.ts'
import { perfAnalyzer } from './perf-analyzer.ts'
import { otelCollector } from './otel-collector.ts'
import { pythonEnv } from './python-env.ts'
import { s3Server } from './s3-server.ts'
import { victoriaMetrics } from './victoria-metrics.ts'

interface Prerequisite {
  readonly name: string
  /** Tests that do not run without it. */
  readonly for: string
  /** What makes it, alone. */
  readonly command: string
  readonly make: () => Promise<unknown>
}

/** The program by which it is known, and the package that brings it. */
export const POSTGRES = ['initdb', 'postgresql'] as const

/** Two installations at once would wait for each other's locks. */
let installed: Promise<unknown> = Promise.resolve()

function debian(program: string, packageName: string, what: string): Prerequisite {
  return {
    name: `Debian package ${packageName}`,
    for: what,
    command: `apt-get install --no-install-recommends ${packageName}`,
    make: () => (installed = installed.catch(() => {}).then(() => debianBinary(program, packageName))),
  }
}

function python(environment: string, what: string): Prerequisite {
  return {
    name: `Python environment ${environment}`,
    for: what,
    command: `scripts/node scripts/python-env.ts ${environment}`,
    make: () => pythonEnv(environment),
  }
}

/** The slowest to make come first. */
export const PREREQUISITES: readonly Prerequisite[] = [
  {
    name: 'OpenTelemetry Collector (Go modules)',
    for: 'traces',
    command: 'scripts/node scripts/otel-collector.ts',
    make: otelCollector,
  },
  {
    name: 'VictoriaMetrics (Go module)',
    for: 'checks of monitoring outside',
    command: 'scripts/node scripts/victoria-metrics.ts',
    make: victoriaMetrics,
  },
  {
    name: 'Helm and kustomize (Go modules)',
    for: 'charts and overlays of endpoints',
    command: 'scripts/node scripts/manifest-tools.ts',
    make: () => Promise.all([helm(), kustomize()]),
  },
  {
    name: 'Conditions of Argo Rollouts (Go module)',
    for: 'analyses that decide nothing where nothing was shown',
    command: 'scripts/node scripts/argo-conditions.ts',
    make: argoConditions,
  },
  {
    name: 'CustomResourceDefinitions (Go modules)',
    for: 'objects of others that endpoints are rendered to',
    command: 'scripts/node scripts/kubernetes-crds.ts',
    make: kubernetesCrds,
  },
  { name: 'versitygw (Go module)', for: 'files on S3', command: 'scripts/node scripts/s3-server.ts', make: s3Server },
  python('triton', 'Triton itself, which answers are compared with'),
  {
    name: 'perf_analyzer (Python environment perf-analyzer, Debian package libb64-0d)',
    for: 'the load generator of Triton against our protocols',
    command: 'apt-get install --no-install-recommends libb64-0d && scripts/node scripts/python-env.ts perf-analyzer',
    make: () => (installed = installed.catch(() => {}).then(perfAnalyzer)),
  },
  {
    name: 'crane, cosign, dive and a registry with referrers (Go modules)',
    for: 'images in registries, and what is wasted in them',
    command: 'scripts/node scripts/image-tools.ts',
    make: async () => {
      await crane()
      await referrersRegistry()
      await cosign()
      await dive()
    },
  },
  python('mlserver', 'MLServer, which answers are compared with'),
  {
    name: 'grpcurl and h2spec (Go modules)',
    for: 'gRPC',
    command: 'scripts/node scripts/grpc-tools.ts',
    make: () => Promise.all([grpcurl(), h2spec()]),
  },
  python('mlflow-3', 'conformance to MLflow, sandboxed models, guides'),
  python('mlflow-scoring', "MLflow's own server of a model, with which ours is compared"),
  python('mlflow-2', 'conformance to clients of MLflow 2'),
  python('conformance', 'ONNX backend tests, clients of Triton, Schemathesis'),
  python('kserve', 'client and server of KServe, CloudEvents'),
  python('grpc', "Triton's client of gRPC, health checks, reflection"),
  python('s3', 'moto: a second S3, secrets, CloudWatch, SNS'),
  python('trees', 'XGBoost, LightGBM and CatBoost, beside which models of trees are asked'),
  python('clients', 'the client for Python'),
  python('records', 'DuckDB and pandas, which read records'),
  python('model-config', 'the reader of the text format of protobuf, which ours is held against'),
  python('text', 'tokenizers, and the example that classifies texts'),
  python('model-signing', 'the reference tool of signatures of models'),
  python('openbao', 'secrets in a vault'),
  python('images', 'bills of materials, severities and archives of advisories'),
  debian('docker-registry', 'docker-registry', 'images in registries'),
  debian('skopeo', 'skopeo', 'images in registries'),
  debian('umoci', 'umoci', 'images that run, and what layers add up to'),
  debian('runc', 'runc', 'images that run'),
  debian('podman', 'podman', 'images that run, and the Dockerfile'),
  debian(...POSTGRES, 'everything on PostgreSQL'),
  debian('prometheus', 'prometheus', 'metrics, alert rules, checks of monitoring outside'),
  debian('etcd', 'etcd-server', 'a Kubernetes of the tests'),
  debian('kubectl', 'kubernetes-client', 'a Kubernetes of the tests, beside its own client'),
]

/** What could not be made, one text each that names it, its command and what went wrong. */
export async function makeReady(all: readonly Prerequisite[] = PREREQUISITES): Promise<string[]> {
  const failures: string[] = []
  const waiting = [...all]
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const { name, command, make } = next
      const began = performance.now()
      try {
        await make()
        const seconds = (performance.now() - began) / 1000
        // What was there already needs no line.
        if (seconds > 1) console.log(`ready  ${name} (${seconds.toFixed(0)} s)`)
      } catch (error) {
        failures.push(
          `${name}, needed for: ${next.for}\n  by hand: ${command}\n  ${error instanceof Error ? error.message : String(error)}`,
        )
      }
    }
  }
  await Promise.all(Array.from({ length: Math.max(2, availableParallelism()) }, work))
  return failures
}

if (import.meta.main) {
  if (process.argv.includes('--list')) {
    for (const { name, atLeast, packages } of MACHINE_TOOLS)
      console.log(
        `${name}${atLeast === undefined ? '' : ` ${atLeast.join('.')} or newer`}\n  by hand  apt-get install --no-install-recommends ${packages.join(' ')}`,
      )
    for (const { name, for: what, command } of PREREQUISITES) console.log(`${name}\n  for      ${what}\n  by hand  ${command}`)
  } else {
    const missing = missingTools()
    const failures = missing === undefined ? (await makeReady()).map((failure) => `missing: ${failure}`) : [missing]
    for (const failure of failures) console.error(failure)
    if (failures.length > 0) process.exitCode = 1
  }
}
