/**
 * The CustomResourceDefinitions of what endpoints are rendered for, as their projects release them: taken from the projects' Go modules,
 * made once and kept outside the tree.
 *
 * Not here: ServiceProfile of Linkerd (linkerd.io), whose module the proxy of Go modules does not serve. Linkerd's HTTPRoute is that of
 * the Gateway API.
 *
 *     scripts/node scripts/kubernetes-crds.ts        # the path of each
 */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFile, mkdir, readdir, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { cacheFolder, obtain } from './python-env.ts'

interface CrdSource {
  readonly module: string
  readonly version: string
  /** Paths in the module. */
  readonly files: readonly string[]
}

const SOURCES: readonly CrdSource[] = [
  {
    module: 'github.com/argoproj/argo-rollouts',
    version: '1.9.1',
    files: ['rollout', 'analysis-run', 'analysis-template', 'cluster-analysis-template', 'experiment'].map(
      (name) => `manifests/crds/${name}-crd.yaml`,
    ),
  },
  {
    module: 'github.com/argoproj/argo-cd/v3',
    version: '3.5.7',
    files: ['application', 'applicationset', 'appproject'].map((name) => `manifests/crds/${name}-crd.yaml`),
  },
  { module: 'github.com/fluxcd/flagger', version: '1.36.1', files: ['artifacts/flagger/crd.yaml'] },
  {
    module: 'github.com/kedacore/keda/v2',
    version: '2.21.0',
    files: ['scaledobjects', 'scaledjobs', 'triggerauthentications', 'clustertriggerauthentications'].map(
      (name) => `config/crd/bases/keda.sh_${name}.yaml`,
    ),
  },
  {
    module: 'sigs.k8s.io/gateway-api',
    version: '1.6.3',
    files: ['gatewayclasses', 'gateways', 'httproutes', 'grpcroutes', 'referencegrants', 'backendtlspolicies'].map(
      (name) => `config/crd/standard/gateway.networking.k8s.io_${name}.yaml`,
    ),
  },
  { module: 'istio.io/api', version: '1.32.0', files: ['kubernetes/customresourcedefinitions.gen.yaml'] },
  {
    module: 'github.com/prometheus-operator/prometheus-operator',
    version: '0.85.0',
    files: ['podmonitors', 'servicemonitors', 'prometheusrules'].map(
      (name) => `example/prometheus-operator-crd/monitoring.coreos.com_${name}.yaml`,
    ),
  },
  {
    module: 'github.com/external-secrets/external-secrets',
    version: '1.3.2',
    files: ['externalsecrets', 'secretstores', 'clustersecretstores'].map((name) => `config/crds/bases/external-secrets.io_${name}.yaml`),
  },
  {
    module: 'github.com/kserve/kserve',
    version: '0.17.0',
    files: ['inferenceservices', 'servingruntimes', 'clusterservingruntimes', 'inferencegraphs'].map(
      (name) => `config/crd/full/serving.kserve.io_${name}.yaml`,
    ),
  },
]

/** Written last. */
const DONE = 'complete'

function folderOf(): string {
  const digest = createHash('sha256').update(JSON.stringify(SOURCES)).digest('hex').slice(0, 12)
  return join(cacheFolder(), `kubernetes-crds-${digest}`)
}

/** @returns the files, each with one definition or several, which are fetched if need be */
export async function kubernetesCrds(): Promise<string[]> {
  const done = await obtain(folderOf(), DONE, async (folder) => {
    await mkdir(folder, { recursive: true })
    for (const { module, version, files } of SOURCES) {
      const from = await moduleFolder(`${module}@v${version}`)
      const name = module.replaceAll('/', '-')
      for (const file of files) await copyFile(join(from, file), join(folder, `${name}-${basename(file)}`))
    }
    await writeFile(join(folder, DONE), '')
  })
  const folder = dirname(done)
  return (await readdir(folder))
    .filter((name) => name.endsWith('.yaml'))
    .toSorted()
    .map((name) => join(folder, name))
}

async function moduleFolder(module: string): Promise<string> {
  const { stdout } = await promisify(execFile)('go', ['mod', 'download', '-json', module]).catch(
    (error: NodeJS.ErrnoException & { stdout?: string }) => {
      if (error.code === 'ENOENT')
        throw new Error('Go is needed to fetch modules with CustomResourceDefinitions, and there is no go on the PATH')
      throw new Error(`${module}: ${error.stdout ?? error.message}`)
    },
  )
  return (JSON.parse(stdout) as { readonly Dir: string }).Dir
}

if (import.meta.main) {
  try {
    for (const path of await kubernetesCrds()) console.log(path)
  } catch (error) {
    console.error(`kubernetes-crds: ${error instanceof Error ? error.message : String(error)}`)
    process.exitCode = 1
  }
}
