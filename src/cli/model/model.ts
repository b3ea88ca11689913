import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join, resolve } from 'node:path'
import { isSlipwayError, SlipwayError } from '../../core/errors.ts'
import { formatBytes } from '../../core/units.ts'
import { readSigner, requireSameFiles, signModel, verifyBundle } from '../../security/model-signing.ts'
import { note, print, style } from '../output.ts'
import { asksRegistry, change, clientOf, pairs, part, sameContext, show, showList, versionName } from '../control-plane/registry-command.ts'
import { localVersion, sha256Of, SIGNATURE_FILE } from './package-files.ts'
import { downloadVersion } from './download.ts'
import { gateText, keptGateView } from '../gate/views.ts'
import { fetchVersion } from './fetch.ts'
import { push } from './push.ts'
import { modelText, modelView, trashView, versionText, versionView } from './views.ts'
import type { Command } from 'commander'
import type { DiffAnswer, FileAnswer, ModelAnswer, SignatureAnswer, TrashAnswer, VersionAnswer } from '../../contract/registry-api.ts'
import type { GateAnswer } from '../../contract/gate-report.ts'
import type { RegistryClient } from '../control-plane/client.ts'
import type { RegistryOptions } from '../control-plane/registry-command.ts'

export function define(command: Command): void {
  definePush(asksRegistry(command.command('push').description('send a model and register it as the next version'), { changes: true }))
  defineFetch(
    asksRegistry(command.command('fetch').description('copy files that lie on a bucket into the registry, as the next version'), {
      changes: true,
    }),
  )
  asksRegistry(command.command('list').description('find models'))
    .option('--filter <text>', 'such as "name LIKE \'churn%\'"')
    .option('--limit <n>', 'how many', '100')
    .action(list)
  asksRegistry(command.command('versions').description('find versions of a model').argument('<model>'))
    .option('--filter <text>', 'such as "tags.team = \'a\'"')
    .option('--limit <n>', 'how many', '100')
    .action(versions)
  asksRegistry(
    command.command('show').description('show a model, or a version of it').argument('<name>', 'MODEL, MODEL/NUMBER or MODEL@ALIAS'),
  ).action(showOne)
  asksRegistry(command.command('create').description('make a model without versions').argument('<model>'), { changes: true })
    .option('--description <text>')
    .option('--tag <key=value...>')
    .action(create)
  defineUpdate(
    asksRegistry(
      command
        .command('update')
        .description('change what is said of a model or a version, or what is asked of versions')
        .argument('<name>', 'MODEL or MODEL/NUMBER'),
      { changes: true },
    ),
  )
  for (const [name, state] of [
    ['approve', 'approved'],
    ['reject', 'rejected'],
  ] as const)
    asksRegistry(
      command.command(name).description(`${name} a version for the gated aliases of its model`).argument('<version>', 'MODEL/NUMBER'),
      {
        changes: true,
      },
    ).action(async (version: string, options: RegistryOptions) => judge(version, state, options))
  asksRegistry(
    command
      .command('inspect')
      .description('what was found when the files of a version were tried')
      .argument('<version>', 'MODEL/NUMBER')
      .option('--again', 'try them once more: what is judged now counts'),
    { changes: true },
  ).action(inspectVersion)
  asksRegistry(command.command('gates').description('what gates have found of a version').argument('<version>', 'MODEL/NUMBER')).action(
    gateResults,
  )
  asksRegistry(
    command
      .command('diff')
      .description('whether clients of one version would be understood by another')
      .argument('<from>', 'MODEL/NUMBER')
      .argument('<to>', 'MODEL/NUMBER'),
  ).action(diff)
  asksRegistry(
    command
      .command('pull')
      .description('fetch the files of a version, each checked')
      .argument('<version>', 'MODEL/NUMBER')
      .argument('<folder>', 'is made'),
  ).action(pull)
  asksRegistry(
    command
      .command('delete')
      .description('put a model or a version into the trash, for 30 days')
      .argument('<name>', 'MODEL or MODEL/NUMBER'),
    { changes: true },
  ).action(remove)
  asksRegistry(
    command
      .command('restore')
      .description('take a model or a version out of the trash')
      .argument('<name>', 'MODEL/NUMBER, or the id of a model'),
    { changes: true },
  ).action(restore)
  asksRegistry(command.command('trash').description('what was deleted and can be had back')).action(trash)
  defineSignatures(command)
}

function defineSignatures(command: Command): void {
  command
    .command('sign')
    .description(`sign the files of a model (OpenSSF model signing), into ${SIGNATURE_FILE} beside them`)
    .argument('<path>', 'what would be pushed')
    .requiredOption('--key <file>', 'private key, PEM: P-256, P-384 or P-521')
    .option('--certificate <file...>', 'certificates from that of the key to the authority, PEM')
    .option('--signature <file>', `where it is written. Default: ${SIGNATURE_FILE} beside the files`)
    .action(sign)
  command
    .command('verify')
    .description('check a signature and the files it is of; exit 3 where it does not hold')
    .argument('<path>', 'what was signed')
    .requiredOption('--signer <file...>', 'public keys, or certificates of authorities, who are believed')
    .option('--signature <file>', `Default: ${SIGNATURE_FILE} beside the files`)
    .action(verify)
  asksRegistry(
    command
      .command('attach')
      .description('keep a signature of a version')
      .argument('<version>', 'MODEL/NUMBER')
      .argument('<signature>', 'file'),
    { changes: true },
  ).action(attach)
}

function definePush(command: Command): void {
  command
    .argument('<path>', 'a model file, a package folder, a folder of numbered versions (the newest is sent), or what MLflow has written')
    .option('--name <model>', 'Default: the name of the folder or file')
    .option('--description <text>')
    .option('--tag <key=value...>')
    .option('--metric <name=number...>', 'what it was measured at')
    .option('--run <id>', 'the run that made it')
    .option('--dataset <version>', 'what it was trained on')
    .option('--commit <id>', 'the code that made it')
    .option('--parent <version>', 'MODEL/NUMBER that it was made from')
    .option('--alias <alias>', 'set this alias to it')
    .option('--serve', 'set the alias champion to it, and wait until the local server answers with it')
    .option('--allow-breaking', 'also where clients of what the alias points to would not be understood')
    .option('--follow-links', 'send also what links out of the folder lead to, as in a cache made of links')
    .option('--wait <duration>', 'how long to wait with --serve', '60s')
    .addHelpText(
      'after',
      '\nExamples:\n  slipway model push examples/churn --name churn\n  slipway model push model.onnx --name churn --metric auc=0.91 --serve',
    )
    .action(push)
}

function defineFetch(command: Command): void {
  command
    .argument('<version>', 'MODEL/NUMBER whose files lie on a bucket')
    .option('--s3-endpoint <url>', 'of a server other than Amazon; or MLFLOW_S3_ENDPOINT_URL, AWS_ENDPOINT_URL_S3')
    .option('--s3-region <name>', 'default: as AWS tools find it')
    .option('--tag <key=value...>')
    .option('--alias <alias>', 'set this alias to the new version')
    .option('--serve', 'set the alias champion to it, and wait until the local server answers with it')
    .option('--allow-breaking', 'also where clients of what the alias points to would not be understood')
    .option('--wait <duration>', 'how long to wait with --serve', '60s')
    .addHelpText('after', '\nExample:\n  slipway model fetch churn/3 --alias champion')
    .action(fetchVersion)
}

function defineUpdate(command: Command): void {
  command
    .option('--description <text>')
    .option('--tag <key=value...>', 'tags to set')
    .option('--untag <key...>', 'tags to take away')
    .option('--rename <model>', 'a new name; numbers go on')
    .option('--protect <alias...>', 'aliases that need the scope `protect`; "-" for none')
    .option('--gate <alias...>', 'aliases that ask what follows of a version; "-" for none')
    .option('--approval <yes|no>', 'gated aliases ask for an approval')
    .option(
      '--gates <name...>',
      'gated aliases ask that these gates have passed (slipway gate); "any" for whichever were run, "-" for none',
    )
    .option('--sandbox <yes|no>', 'versions that are pickles of scikit-learn may be served, by servers with a sandbox for them')
    .option('--signed-by <signer...>', 'gated aliases ask for a signature by one of these; "-" for none')
    .action(update)
}

async function list(options: RegistryOptions & { filter?: string; limit: string }): Promise<void> {
  const client = await clientOf(options)
  const { items, total } = await client.ask<{ items: ModelAnswer[]; total: number }>('/models', {
    query: { filter: options.filter, limit: options.limit },
  })
  showList(items, modelView, options, total)
}

async function versions(model: string, options: RegistryOptions & { filter?: string; limit: string }): Promise<void> {
  const client = await clientOf(options)
  const query = { filter: options.filter, limit: options.limit, orderBy: 'version_number DESC' }
  const { items, total } = await client.ask<{ items: VersionAnswer[]; total: number }>(`/models/${part(model)}/versions`, { query })
  showList(items, versionView, options, total)
}

async function showOne(name: string, options: RegistryOptions): Promise<void> {
  const client = await clientOf(options)
  const [, model = '', alias] = /^([^@]+)@(.+)$/.exec(name) ?? []
  if (alias !== undefined) {
    const { version } = await client.ask<{ version: number }>(`/models/${part(model)}/aliases/${part(alias)}`)
    return await showOne(`${model}/${version}`, options)
  }
  if (name.includes('/')) {
    const version = await client.ask<VersionAnswer>(pathOf(name))
    return show(version, versionView, options, versionText(version))
  }
  const found = await client.ask<ModelAnswer>(`/models/${part(name)}`)
  show(found, modelView, options, modelText(found))
}

/** Path of `MODEL` or `MODEL/NUMBER` below `/api/v1`. */
function pathOf(name: string): string {
  if (!name.includes('/')) return `/models/${part(name)}`
  const { model, version } = versionName(name)
  return `/models/${part(model)}/versions/${version}`
}

async function create(model: string, options: RegistryOptions & { description?: string; tag?: string[] }): Promise<void> {
  const client = await clientOf(options)
  const tags = pairs(options.tag, '--tag')
  const body = {
    name: model,
    ...(options.description !== undefined && { description: options.description }),
    ...(tags !== undefined && { tags }),
  }
  const made = await change<ModelAnswer>(options, client, { method: 'POST', path: '/models', body })
  if (made !== undefined) show(made, modelView, options, modelText(made))
}

interface UpdateOptions extends RegistryOptions {
  readonly description?: string
  readonly tag?: string[]
  readonly untag?: string[]
  readonly rename?: string
  readonly protect?: string[]
  readonly gate?: string[]
  readonly approval?: string
  readonly gates?: string[]
  readonly sandbox?: string
  readonly signedBy?: string[]
}

async function update(name: string, options: UpdateOptions): Promise<void> {
  const client = await clientOf(options)
  const set = pairs(options.tag, '--tag')
  const unset = options.untag?.map((key) => [key, null] as const)
  const tags = set === undefined && unset === undefined ? undefined : { ...set, ...Object.fromEntries(unset ?? []) }
  const said = { ...(options.description !== undefined && { description: options.description }), ...(tags !== undefined && { tags }) }
  const path = pathOf(name)
  if (name.includes('/')) {
    const changed = await change<VersionAnswer>(options, client, { method: 'PATCH', path, body: said })
    if (changed !== undefined) show(changed, versionView, options, versionText(changed))
    return
  }
  const { gate, approval, gates, sandbox, signedBy, rename: newName, protect } = options
  const asksMore = [gate, approval, gates, sandbox, signedBy].some((flag) => flag !== undefined)
  // Policy fields without a flag stay as they are; If-Match excludes a change between the reading and the writing.
  const before = asksMore ? await client.ask<ModelAnswer>(path) : undefined
  const policy = before === undefined ? undefined : policyFrom(before.policy, options)
  const body = {
    ...said,
    ...(newName !== undefined && { name: newName }),
    ...(protect !== undefined && { protectedAliases: listOf(protect) }),
    ...(policy !== undefined && { policy }),
  }
  const headers = before === undefined ? {} : { 'if-match': `"${before.resourceVersion}"` }
  const changed = await change<ModelAnswer>(options, client, { method: 'PATCH', path, body, headers })
  if (changed !== undefined) show(changed, modelView, options, modelText(changed))
}

function policyFrom(before: ModelAnswer['policy'], { gate, approval, gates, sandbox, signedBy }: UpdateOptions): ModelAnswer['policy'] {
  const after = {
    ...before,
    ...(gate !== undefined && { gatedAliases: listOf(gate) }),
    ...(approval !== undefined && { approval: yesOrNo('--approval', approval) }),
    ...(gates !== undefined && { gates: gates.join() === 'any' || listOf(gates) }),
    ...(sandbox !== undefined && { sandbox: yesOrNo('--sandbox', sandbox) }),
    ...(signedBy !== undefined && { signedBy: listOf(signedBy) }),
  }
  if (after.signedBy?.length === 0) delete after.signedBy
  if (Array.isArray(after.gates) && after.gates.length === 0) delete after.gates
  return after
}

function yesOrNo(flag: string, text: string): boolean {
  if (text === 'yes' || text === 'no') return text === 'yes'
  throw new SlipwayError('SLW_USAGE', `${flag} ${text}: expected yes or no`)
}

function listOf(words: readonly string[]): string[] {
  return words.length === 1 && words[0] === '-' ? [] : [...words]
}

async function judge(name: string, state: 'approved' | 'rejected', options: RegistryOptions): Promise<void> {
  const client = await clientOf(options)
  versionName(name)
  const body = { state, ...(options.reason !== undefined && { reason: options.reason }) }
  const judged = await change<VersionAnswer>(options, client, { method: 'PUT', path: `${pathOf(name)}/approval`, body })
  if (judged !== undefined) show(judged, versionView, options, versionText(judged))
}

async function inspectVersion(name: string, options: RegistryOptions & { again?: boolean }): Promise<void> {
  const client = await clientOf(options)
  versionName(name)
  const path = pathOf(name)
  const version =
    options.again === true
      ? await change<VersionAnswer>(options, client, { method: 'POST', path: `${path}/inspection` })
      : await client.ask<VersionAnswer>(path)
  if (version !== undefined) show(version, versionView, options, versionText(version))
}

async function gateResults(name: string, options: RegistryOptions): Promise<void> {
  const client = await clientOf(options)
  versionName(name)
  const { items } = await client.ask<{ items: GateAnswer[] }>(`${pathOf(name)}/gates`)
  if (options.output !== 'table' || items.length === 0) showList(items, keptGateView, options)
  else print(items.map(({ report, verdict }) => gateText(report, verdict)).join('\n\n'))
}

async function diff(from: string, to: string, options: RegistryOptions): Promise<void> {
  const client = await clientOf(options)
  const [before, after] = [versionName(from), versionName(to)]
  if (before.model !== after.model) throw new SlipwayError('SLW_USAGE', `${from} and ${to} are of two models`)
  const found = await client.ask<DiffAnswer>(`${pathOf(to)}/diff`, { query: { from: before.version } })
  const view = { kind: 'SignatureDiff', name: () => found.compatibility, header: [], row: () => [] }
  const changes = found.changes.map(({ effect, message }) => `  ${effect === 'breaking' ? style('red', effect) : effect}: ${message}`)
  const unknown = found.compatibility === 'unknown' ? '  of one of them nothing is known: it has no signature' : ''
  show(found, view, options, [`${from} -> ${to}: ${found.compatibility}`, ...changes, unknown].filter((text) => text !== '').join('\n'))
  if (found.compatibility === 'breaking') process.exitCode = 3
}

/** Downloads the files into a temporary folder, which is renamed when all of them are verified. */
async function pull(name: string, folder: string, options: RegistryOptions): Promise<void> {
  const client = await clientOf(options)
  versionName(name)
  const target = resolve(folder)
  if ((await stat(target).catch(() => undefined)) !== undefined) throw new SlipwayError('SLW_USAGE', `${folder} is there already`)
  const beside = `${target}.part-${process.pid}`
  let items: readonly FileAnswer[]
  try {
    items = await downloadVersion(client, pathOf(name), beside)
    const signatures = await client.ask<{ items: SignatureAnswer[] }>(`${pathOf(name)}/signatures`)
    if (signatures.items[0] !== undefined) await writeFile(join(beside, SIGNATURE_FILE), signatures.items[0].bundle)
    await mkdir(dirname(target), { recursive: true })
    await rename(beside, target)
  } finally {
    await rm(beside, { recursive: true, force: true })
  }
  note(`${items.length} files, ${formatBytes(items.reduce((bytes, { size }) => bytes + size, 0))}`)
  print(target)
}

async function remove(name: string, options: RegistryOptions): Promise<void> {
  const client = await clientOf(options)
  // Whoever deletes what an alias points to is told at once, and not when somebody asks for the alias.
  const aliases = await aliasesTo(client, name)
  await change(options, client, { method: 'DELETE', path: pathOf(name) })
  const [model = ''] = name.split('/')
  for (const alias of aliases) note(`${model}@${alias} pointed to it, and ${options.dryRun === true ? 'would be' : 'is'} gone with it`)
  if (options.dryRun === true) return
  const back = name.includes('/') ? `slipway model restore ${name}` : 'slipway model restore ID'
  note(`${name} lies in the trash for 30 days; back with: ${sameContext(back, options)}`)
  if (!name.includes('/')) note(`its ID: ${sameContext('slipway model trash', options)}`)
  for (const alias of aliases.filter(() => name.includes('/')))
    note(`another version for the alias: ${sameContext(`slipway alias set ${model}@${alias} NUMBER`, options)}`)
}

/** Names of the aliases of a model, or of one version; none where there is no such thing, which the deletion tells. */
async function aliasesTo(client: RegistryClient, name: string): Promise<string[]> {
  try {
    if (name.includes('/')) return [...(await client.ask<VersionAnswer>(pathOf(name))).aliases]
    return Object.keys((await client.ask<ModelAnswer>(pathOf(name))).aliases)
  } catch (error) {
    if (isSlipwayError(error) && ['SLW_NOT_FOUND', 'SLW_FORBIDDEN'].includes(error.code)) return []
    throw error
  }
}

async function restore(name: string, options: RegistryOptions): Promise<void> {
  const client = await clientOf(options)
  if (name.includes('/')) {
    const version = await change<VersionAnswer>(options, client, { method: 'POST', path: `${pathOf(name)}/restore` })
    if (version !== undefined) show(version, versionView, options, versionText(version))
    return
  }
  const model = await change<ModelAnswer>(options, client, { method: 'POST', path: `/trash/models/${part(name)}/restore` })
  if (model !== undefined) show(model, modelView, options, modelText(model))
}

async function trash(options: RegistryOptions): Promise<void> {
  const { items } = await (await clientOf(options)).all<TrashAnswer>('/trash')
  showList(items, trashView, options)
}

async function sign(path: string, options: { key: string; certificate?: string[]; signature?: string }): Promise<void> {
  const { files } = await localVersion(path, true)
  const digested = await Promise.all(files.map(async (file) => ({ path: file.path, sha256: await sha256Of(file) })))
  const certificates = await Promise.all((options.certificate ?? []).map((file) => readFile(file, 'utf8')))
  const bundle = signModel({
    name: basename(resolve(path)),
    files: digested,
    key: await readFile(options.key, 'utf8'),
    certificates,
    ignored: [SIGNATURE_FILE],
  })
  const target = options.signature ?? (await signatureBeside(path))
  await writeFile(target, bundle)
  note(`signed ${files.length} files`)
  print(target)
}

async function signatureBeside(path: string): Promise<string> {
  return join((await stat(path)).isDirectory() ? path : dirname(path), SIGNATURE_FILE)
}

async function verify(path: string, options: { signer: string[]; signature?: string }): Promise<void> {
  const { files } = await localVersion(path, true)
  const signers = await Promise.all(options.signer.map(async (file) => ({ file, ...readSigner(await readFile(file, 'utf8')) })))
  const { signer, model } = verifyBundle(await readFile(options.signature ?? (await signatureBeside(path)), 'utf8'), signers)
  requireSameFiles(model, await Promise.all(files.map(async (file) => ({ path: file.path, sha256: await sha256Of(file) }))))
  print(`signed by ${signer.file}: ${files.length} files are as they were signed`)
}

async function attach(name: string, file: string, options: RegistryOptions): Promise<void> {
  const client = await clientOf(options)
  versionName(name)
  const body = { bundle: await readFile(file, 'utf8') }
  const kept = await change<SignatureAnswer>(options, client, { method: 'POST', path: `${pathOf(name)}/signatures`, body })
  if (kept !== undefined) print(`${name} is signed by ${kept.signer}`)
}
