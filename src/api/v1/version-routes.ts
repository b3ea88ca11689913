import { Type } from 'typebox'
import { compareSignatures } from '../../contract/compatibility.ts'
import {
  ApprovalBody,
  DiffAnswer,
  FileAnswer,
  NewVersionBody,
  pageOfThings,
  SearchQuery,
  SignatureAnswer,
  VersionAnswer,
  VersionUpdateBody,
} from '../../contract/registry-api.ts'
import { SlipwayError } from '../../core/errors.ts'
import { requireModel } from '../../models/models.ts'
import { readVersions } from '../../models/read-versions.ts'
import { versionsIn } from '../../search/queries.ts'
import { filesBelow } from '../../files/file-trees.ts'
import { readerOf, requireSource } from '../access.ts'
import { sendFile } from '../send-file.ts'
import { tagsOf, versionAnswer } from './answers.ts'
import { pageAnswer, searched } from './paging.ts'
import { seen } from './seen.ts'
import { v1RoutesOf } from './route.ts'
import { watched } from './watch.ts'
import type { Static } from 'typebox'
import type { Version } from '../../models/read-versions.ts'
import type { V1Answer, V1Call, V1Route } from './route.ts'
import type { WatchServices } from './watch.ts'
import type { Retold } from './v1-door.ts'
import type { Versions } from '../../models/versions.ts'
import type { Signers } from '../../models/signers.ts'
import type { Files } from '../../models/placed-files.ts'
import type { Contents } from '../../files/contents.ts'
import type { Ground } from '../../ledger/scope.ts'

/** Services that these routes use. */
export interface VersionServices {
  readonly versions: Versions
  readonly signers: Signers
  readonly files: Files
  readonly contents: Contents
  readonly ground: Ground
}

const v1Route = v1RoutesOf<VersionServices>()

const tag = 'versions'
const VERSION = '/models/:model/versions/:version'

function answered(version: Version, status?: number): V1Answer<VersionAnswer> {
  return {
    body: versionAnswer(version),
    etag: String(version.resourceVersion),
    ...(status !== undefined && { status, location: `/api/v1/models/${encodeURIComponent(version.model)}/versions/${version.number}` }),
  }
}

/** The model and number of the path. */
function named({ params }: Pick<V1Call<VersionServices>, 'params'>): [model: string, version: string] {
  return [params['model']!, params['version']!]
}

async function versionOf({ services, scope, params }: V1Call<VersionServices>): Promise<Version> {
  return await services.versions.get(scope, params['model']!, params['version']!)
}

export const retoldVersion: Retold<VersionServices> = async ({ versions }, scope, name) => {
  const [model = '', number = ''] = name.split('/')
  return { status: 200, body: versionAnswer(await versions.get(scope, model, number)) }
}

export const VERSION_ROUTES: readonly V1Route<VersionServices & WatchServices>[] = [
  v1Route({
    method: 'GET',
    path: '/versions',
    operation: 'searchVersions',
    summary: 'Find versions of all models',
    tag,
    action: 'read',
    models: () => 'any',
    query: SearchQuery,
    answer: pageOfThings(VersionAnswer),
    handle: async (call) =>
      await pageAnswer(call, 'versions', versionsIn(searched(call)), async (rows) =>
        (await readVersions(call.services.ground.database.read, rows)).map(versionAnswer),
      ),
  }),
  v1Route({
    method: 'GET',
    path: '/models/:model/versions',
    operation: 'listVersions',
    summary: 'Find versions of a model',
    tag,
    action: 'read',
    query: SearchQuery,
    answer: pageOfThings(VersionAnswer),
    handle: async (call) => {
      const { read } = call.services.ground.database
      const model = call.params['model']!
      await requireModel(read, call.scope, model)
      const found = versionsIn(searched(call), model)
      return await pageAnswer(call, 'versions', found, async (rows) => (await readVersions(read, rows)).map(versionAnswer))
    },
  }),
  v1Route({
    method: 'POST',
    path: '/models/:model/versions',
    operation: 'createVersion',
    summary: 'Register a version, of files that were sent before or of a source. The same files are the same version (200)',
    tag,
    action: 'write',
    body: NewVersionBody,
    answer: VersionAnswer,
    status: 201,
    alsoStatus: 200,
    handle: createVersion,
  }),
  ...watched(
    v1Route({
      method: 'GET',
      path: VERSION,
      operation: 'getVersion',
      summary: 'A version and all that is known of it',
      tag,
      action: 'read',
      answer: VersionAnswer,
      handle: async (call) => answered(await versionOf(call)),
    }),
  ),
  v1Route({
    method: 'PATCH',
    path: VERSION,
    operation: 'updateVersion',
    conditional: true,
    summary: 'Change what is said of a version; its files never change',
    tag,
    action: 'write',
    body: VersionUpdateBody,
    answer: VersionAnswer,
    handle: async (call) => answered(await call.services.versions.update(seen(call), ...named(call), call.body)),
  }),
  v1Route({
    method: 'DELETE',
    path: VERSION,
    operation: 'deleteVersion',
    conditional: true,
    summary: 'Put a version into the trash, for 30 days; its aliases go',
    tag,
    action: 'write',
    handle: async (call) => {
      await call.services.versions.delete(seen(call), ...named(call))
      return {}
    },
  }),
  v1Route({
    method: 'POST',
    path: `${VERSION}/restore`,
    operation: 'restoreVersion',
    summary: 'Take a version out of the trash; aliases are not set again',
    tag,
    action: 'write',
    answer: VersionAnswer,
    handle: async (call) => answered(await call.services.versions.restore(call.scope, ...named(call))),
  }),
  v1Route({
    method: 'PUT',
    path: `${VERSION}/approval`,
    operation: 'setApproval',
    conditional: true,
    summary: 'Say whether a version may have the gated aliases of its model',
    tag,
    action: 'protect',
    body: ApprovalBody,
    answer: VersionAnswer,
    handle: async (call) => {
      const { state: approval, reason } = call.body
      return answered(await call.services.versions.judge(seen(call), ...named(call), { approval, reason }))
    },
  }),
  v1Route({
    method: 'POST',
    path: `${VERSION}/inspection`,
    operation: 'inspectVersion',
    conditional: true,
    summary: 'Look at the files of a version once more',
    tag,
    action: 'write',
    answer: VersionAnswer,
    handle: async (call) => answered(await call.services.versions.inspectAgain(seen(call), ...named(call))),
  }),
  v1Route({
    method: 'GET',
    path: `${VERSION}/diff`,
    operation: 'compareVersions',
    summary: 'Whether clients of another version would be understood by this one',
    tag,
    action: 'read',
    query: Type.Object(
      { from: Type.Integer({ minimum: 1, description: 'The version that clients know.' }) },
      { additionalProperties: false },
    ),
    answer: DiffAnswer,
    handle: async (call) => {
      const to = await versionOf(call)
      const from = await call.services.versions.get(call.scope, call.params['model']!, String(call.query.from))
      const { compatibility, changes } = compareSignatures(from.signature, to.signature)
      return { body: { from: from.number, to: to.number, compatibility, changes: [...changes] } }
    },
  }),
  v1Route({
    method: 'GET',
    path: `${VERSION}/files`,
    operation: 'listFiles',
    summary: 'The files of a version',
    tag,
    action: 'read',
    answer: Type.Object({ items: Type.Array(FileAnswer), total: Type.Integer() }),
    handle: async (call) => {
      const version = await versionOf(call)
      const items = await filesBelow(call.services.ground.database.read, `version:${version.id}`)
      return { body: { items: items.map(({ path, size, contentId }) => ({ path, size, contentId })), total: items.length } }
    },
  }),
  v1Route({
    method: 'GET',
    path: `${VERSION}/files/*`,
    operation: 'getFile',
    summary: 'Bytes of a file, or of a range of it; each chunk is checked before it is sent',
    tag,
    action: 'read',
    handle: async (call, reply) => {
      const version = await versionOf(call)
      const { files, contents } = call.services
      const file = await files.find(call.scope, { root: `version:${version.id}`, path: call.params['*']! })
      await sendFile({ contents, file, range: call.request.headers.range }, reply)
      return {}
    },
  }),
  v1Route({
    method: 'GET',
    path: `${VERSION}/signatures`,
    operation: 'listSignatures',
    summary: 'Signatures of a version that held when they came',
    tag: 'signatures',
    action: 'read',
    answer: Type.Object({ items: Type.Array(SignatureAnswer), total: Type.Integer() }),
    handle: async (call) => {
      const items = await call.services.signers.signaturesOf(call.scope, ...named(call))
      return { body: { items, total: items.length } }
    },
  }),
  v1Route({
    method: 'POST',
    path: `${VERSION}/signatures`,
    operation: 'attachSignature',
    conditional: true,
    summary: 'Keep a signature of a version: by a known signer, over exactly its files',
    tag: 'signatures',
    action: 'write',
    body: Type.Object(
      { bundle: Type.String({ minLength: 2, description: 'A Sigstore bundle of OpenSSF model signing.' }) },
      { additionalProperties: false },
    ),
    answer: SignatureAnswer,
    status: 201,
    handle: async (call) => ({ body: await call.services.signers.attach(seen(call), ...named(call), call.body.bundle), status: 201 }),
  }),
]

async function createVersion(call: V1Call<VersionServices, unknown, Static<typeof NewVersionBody>>): Promise<V1Answer<VersionAnswer>> {
  const { services, scope, body, params } = call
  requireSource(call.caller, scope.environment, body.source)
  const { files, source, tags, provenance, ...rest } = body
  if ((files === undefined) === (source === undefined)) throw new SlipwayError('SLW_INPUT_INVALID', 'give either `files` or `source`')
  const { versions } = services
  const known = { ...rest, tags: tagsOf(tags), provenance, runId: provenance?.runId }
  if (source !== undefined) return answered(await versions.create(scope, params['model']!, { ...known, source }), 201)
  const tree = (files ?? []).map(({ path, contentId }) => ({ path, contentId, size: 0 }))
  const reader = readerOf(call.caller, scope.environment)
  const { version, created } = await versions.push(scope, params['model']!, { ...known, files: tree, reader })
  return answered(version, created ? 201 : 200)
}
