/**
 * Which room may import which: the one table. `npm run check` holds every import against it, finds circles of files (also of types), and
 * the table in ARCHITECTURE.md is written from it by `npm run docs`.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import { importsIn } from './imports.ts'

const ROOT = new URL('..', import.meta.url).pathname
const SOURCES = join(ROOT, 'src')

interface Room {
  /** The file to read first, inside it: it opens with what the room is for. */
  readonly door: string
  /** What it is for, as ARCHITECTURE.md says. */
  readonly does: string
  /** Beside itself. `all`: a composition root, which sees everything but what is named in `not`. */
  readonly imports: readonly string[] | { readonly allBut: readonly string[] }
  /** Runs in a browser: nothing of Node. */
  readonly browser?: boolean
}

const BELOW_SIGNATURE = ['core', 'contract', 'tensor', 'onnx', 'model'] as const
const LEDGER = ['core', 'contract', 'security', 'storage'] as const
const KEPT = [...LEDGER, 'ledger', 'files', 'tracking'] as const

export const ROOMS: Readonly<Record<string, Room>> = {
  core: { door: 'errors.ts', does: 'errors (one table), clock, ids, cores, units, digests of contents, fail points', imports: [] },
  contract: {
    door: 'schema.ts',
    does: 'the documents, routing, and the statistics that merge (`statistics/`); runs in a browser',
    imports: ['core'],
    browser: true,
  },
  security: {
    door: 'api-keys.ts',
    does: 'API keys, admin token, certificates, secrets by reference; stands beside core and asks nobody',
    imports: ['core', 'contract'],
  },
  tensor: { door: 'tensor.ts', does: 'datatypes, tensors, the JSON and binary codecs', imports: ['core', 'contract'] },
  tokenizer: { door: 'tokenizer.ts', does: 'token ids of texts, as a tokenizer.json says', imports: ['core'] },
  onnx: { door: 'model.ts', does: 'reads, checks, rewrites ONNX files', imports: ['core', 'contract', 'tensor'] },
  model: {
    door: 'package.ts',
    does: 'model packages, the layouts they are found in, and the formats they are read from (`formats/`)',
    imports: ['core', 'contract', 'tensor', 'onnx'],
  },
  signature: {
    door: 'signature.ts',
    does: "people's rows to tensors, tensors to answers, guards",
    imports: [...BELOW_SIGNATURE, 'tokenizer'],
  },
  engine: {
    door: 'instance.ts',
    does: 'the Instance port and its kinds (inline, thread, process, and a sandbox for models of Python), probe, replacement of what ends',
    imports: ['core', 'contract', 'tensor', 'onnx'],
  },
  serving: {
    door: 'inference.ts',
    does: 'the one way in, endpoints, variants, reconciler, residency; `router/`, `repository/`, `scheduler/`, `cache/`, `observe/`, `records/`',
    imports: [...BELOW_SIGNATURE, 'signature', 'engine', 'security'],
  },
  protocol: {
    door: 'http/server.ts',
    does: 'wire shapes onto serving, one file per dialect (`http/dialects/`), gRPC (`grpc/`) on HTTP/2 of its own (`http2/`), no decisions of their own; who may come in',
    imports: [...BELOW_SIGNATURE, 'signature', 'engine', 'serving', 'security'],
  },
  following: {
    door: 'follower.ts',
    does: 'what a server and an application do to follow a control plane: documents, the local store, reports, windows, records',
    imports: ['core', 'contract', 'model', 'serving'],
  },
  library: {
    door: 'load-model.ts',
    does: "`loadModel`: the server's runtime without sockets",
    imports: [...BELOW_SIGNATURE, 'signature', 'engine', 'serving', 'following'],
  },
  server: {
    door: 'start-server.ts',
    does: 'composition root of the serving process, and of several (`cluster/`); configuration',
    imports: [...BELOW_SIGNATURE, 'signature', 'engine', 'serving', 'protocol', 'following', 'security'],
  },
  judge: {
    door: 'evidence.ts',
    does: 'whether a new version is worse than the one before it: counts in, verdicts out; runs in a browser',
    imports: ['core', 'contract'],
    browser: true,
  },
  client: {
    door: 'client.ts',
    does: "`slipway/client`: what applications call servers with, made for the server's absence; runs in a browser, and has types of core only",
    imports: ['core'],
    browser: true,
  },
  checks: {
    door: 'checks.ts',
    does: 'asks monitoring of others about a version: Prometheus and what answers like it, CloudWatch; what is missing, stale or no number decides nothing',
    imports: ['core', 'contract', 'security'],
  },
  gates: {
    door: 'gates.ts',
    does: 'whether a version may get traffic: answers for rows with a known truth in, results with numbers and a sentence out; runs no model',
    imports: ['core', 'contract', 'judge'],
    browser: true,
  },
  storage: {
    door: 'sql/database.ts',
    does: '`sql/`: one query source for SQLite and PostgreSQL, migrations, leases; `work/`: durable work in the background; `objects/`: files by content in a folder or on S3; `backup/`: all of it in one file',
    imports: ['core', 'contract'],
  },
  ledger: {
    door: 'events.ts',
    does: 'on whose behalf and where something is done (scope, environments), that it is done once and in which order, what was done (events, history), and who is told (webhooks)',
    imports: LEDGER,
  },
  files: {
    door: 'contents.ts',
    does: 'files by content, the trees that these are in, and the trash that lets go of them',
    imports: [...LEDGER, 'ledger'],
  },
  tracking: {
    door: 'experiments.ts',
    does: 'experiments, runs, and the models that runs have logged',
    imports: [...LEDGER, 'ledger', 'files'],
  },
  models: {
    door: 'models.ts',
    does: 'models, versions, aliases, policies, signers: what they are, what may be done with them, and whether a version can be served',
    imports: [...KEPT, ...BELOW_SIGNATURE, 'signature'],
  },
  search: {
    door: 'queries.ts',
    does: "MLflow's language of filters and orders, as SQL over experiments, runs and models",
    imports: [...KEPT, 'models'],
  },
  import: { door: 'importer.ts', does: 'what servers of MLflow have, brought over', imports: [...KEPT, 'models'] },
  delivery: {
    door: 'delivery.ts',
    does: 'endpoints, their revisions and routing, what they resolve to; the documents that servers follow, and what servers say',
    imports: [...KEPT, 'models', 'model', 'signature', 'kubernetes'],
  },
  monitoring: {
    door: 'windows.ts',
    does: 'windows at rest and labels of predictions, what they add up to, and what they show of two versions',
    imports: ['core', 'contract', 'judge', 'storage'],
  },
  rollouts: {
    door: 'rollouts.ts',
    does: 'how a new version comes into force step by step, judged by what happens to users, and back where it is worse',
    imports: [...KEPT, 'models', 'delivery', 'judge', 'monitoring', 'checks'],
  },
  records: {
    door: 'records.ts',
    does: 'records of predictions at rest: how they arrive, become hours in Parquet, are read, exported, forgotten and swept',
    imports: [...LEDGER, 'ledger'],
  },
  kubernetes: {
    door: 'object.ts',
    does: 'what an endpoint is on Kubernetes: objects (`objects/`), charts and applications of them (`packaging/`), and what is wrong with manifests (`lint/`); asks no cluster, runs in a browser',
    imports: ['core', 'contract'],
    browser: true,
  },
  cluster: {
    door: 'cluster.ts',
    does: 'a cluster of Kubernetes: what is there, what would change, applying and undoing it, weights of a mesh, and the metrics by which it scales (`metrics/`)',
    imports: ['core', 'contract', 'security', 'kubernetes'],
  },
  images: {
    door: 'oci.ts',
    does: 'OCI images without Docker: built (`build/`), in registries (`registry/`), looked into and scanned (`inspect/`), described and signed (`attest/`)',
    imports: ['core', 'contract', 'security', 'model'],
  },
  access: { door: 'keys.ts', does: 'who may do what: keys, people, roles, sessions, refused calls', imports: [...LEDGER, 'ledger'] },
  api: {
    door: 'api-server.ts',
    does: "the control plane's doors, one folder per dialect (`v1/`, `mlflow/`), no decisions of their own",
    imports: [...KEPT, 'models', 'search', 'delivery', 'judge', 'monitoring', 'rollouts', 'records', 'access'],
  },
  'control-plane': {
    door: 'rooms.ts',
    does: 'composition root of `slipway up`: one value for each room (`rooms/`), and the list of them (`rooms.ts`)',
    imports: { allBut: ['cli'] },
  },
  cli: { door: 'main.ts', does: 'commands: parse, call, print', imports: { allBut: [] } },
}

interface Import {
  readonly from: string
  readonly to: string
}

/** Every import of one of our files by another, relative to `src`, also of types. */
function importsOf(folder: string): { readonly ours: Import[]; readonly nodes: Import[] } {
  const ours: Import[] = []
  const nodes: Import[] = []
  for (const name of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!name.endsWith('.ts')) continue
    const text = readFileSync(join(folder, name), 'utf8')
    for (const to of importsIn(text)) {
      if (to.startsWith('.')) ours.push({ from: name, to: relative(folder, join(folder, dirname(name), to)) })
      else if (to.startsWith('node:')) nodes.push({ from: name, to })
    }
  }
  return { ours, nodes }
}

const roomOf = (file: string): string | undefined => (file.includes(sep) ? file.split(sep)[0] : undefined)

function mayImport(from: string, to: string): boolean {
  if (from === to) return true
  const { imports } = ROOMS[from]!
  return 'allBut' in imports ? !imports.allBut.includes(to) : imports.includes(to)
}

/** A room names only tables of its own and of rooms that it may import: types cannot tell, as all of them lie in one database. */
function checkTables(folder: string): string[] {
  const texts = readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => ({ name, text: readFileSync(join(folder, name), 'utf8') }))
  const owners = new Map<string, string>()
  for (const { name, text } of texts)
    if (/^[^/]+\/tables\.ts$/.test(name)) for (const [, table] of text.matchAll(/\{ name: '(\w+)'/g)) owners.set(table!, roomOf(name)!)
  const wrong: string[] = []
  for (const { name, text } of texts) {
    const room = roomOf(name)
    if (room === undefined) continue
    for (const [, table] of text.matchAll(/\b(?:selectFrom|insertInto|updateTable|deleteFrom|\w+Join)\(\s*'(\w+)/g)) {
      const owner = owners.get(table!)
      if (owner !== undefined && !mayImport(room, owner))
        wrong.push(`src/${name} names the table ${table}: ${room} may not import ${owner} (scripts/layers.ts)`)
    }
  }
  return wrong
}

/** What is wrong, one line each. @param folder that holds the rooms */
export function checkLayers(folder: string = SOURCES): string[] {
  const { ours, nodes } = importsOf(folder)
  const wrong: string[] = checkTables(folder)
  for (const { from, to } of ours) {
    const [room, other] = [roomOf(from), roomOf(to)]
    // The entry of the package stands above all rooms.
    if (room === undefined || other === undefined) continue
    if (ROOMS[room] === undefined) wrong.push(`src/${from}: the room "${room}" is not in scripts/layers.ts`)
    else if (!mayImport(room, other)) wrong.push(`src/${from} imports src/${to}: ${room} may not import ${other} (scripts/layers.ts)`)
  }
  for (const { from, to } of nodes)
    if (ROOMS[roomOf(from) ?? '']?.browser === true) wrong.push(`src/${from} imports ${to}: ${roomOf(from)} runs in a browser`)
  for (const [name, { door }] of Object.entries(ROOMS)) {
    const path = join(folder, name, door)
    if (!readdirSync(folder).includes(name)) continue
    if (!existsSync(path)) wrong.push(`src/${name}: its door ${door} is not there (scripts/layers.ts)`)
    else if (!readFileSync(path, 'utf8').startsWith('/**')) wrong.push(`src/${name}/${door} does not open with what the room is for`)
  }
  for (const circle of circles(ours)) wrong.push(`a circle of imports: ${circle.map((file) => `src/${file}`).join(' > ')}`)
  return [...new Set(wrong)]
}

/** Files that import each other, by whatever way (R. Tarjan, "Depth-first search and linear graph algorithms", 1972). */
function circles(imports: readonly Import[]): string[][] {
  const graph = Map.groupBy(imports, ({ from }) => from)
  const index = new Map<string, number>()
  const low = new Map<string, number>()
  const stack: string[] = []
  const found: string[][] = []
  const visit = (file: string): void => {
    index.set(file, index.size)
    low.set(file, index.get(file)!)
    stack.push(file)
    for (const { to } of graph.get(file) ?? []) {
      if (!index.has(to)) visit(to)
      if (stack.includes(to)) low.set(file, Math.min(low.get(file)!, low.get(to)!))
    }
    if (low.get(file) !== index.get(file)) return
    const component = stack.splice(stack.indexOf(file))
    if (component.length > 1) found.push(component)
  }
  for (const file of graph.keys()) if (!index.has(file)) visit(file)
  return found
}

/** The table of rooms, as ARCHITECTURE.md has it. */
export function roomTable(): string {
  const rows = Object.entries(ROOMS).map(
    ([name, { does, door, imports }]) => `| \`${name}\` | ${does} | \`${door}\` | ${saidOf(imports)} |`,
  )
  return ['| room | what it does | read first | may import |', '|---|---|---|---|', ...rows].join('\n')
}

function saidOf(imports: Room['imports']): string {
  if ('allBut' in imports) return imports.allBut.length === 0 ? 'all' : `all but ${imports.allBut.join(', ')}`
  return imports.length === 0 ? 'nothing of ours' : [...new Set(imports)].join(', ')
}
