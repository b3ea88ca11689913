import { goneSignal } from '../gone.ts'
import { Type } from 'typebox'
import { FollowedState, ServerReport, VersionManifest } from '../../contract/followed-state.ts'
import { AdoptAnswer, JoinAnswer, JoinBody, ServerAnswer } from '../../contract/delivery-api.ts'
import { pageOfThings, PageQuery } from '../../contract/registry-api.ts'
import { SlipwayError } from '../../core/errors.ts'
import { requireEverywhere, requirePermission } from '../access.ts'
import { adoptServers } from '../../delivery/identity.ts'
import { sendFile } from '../send-file.ts'
import { v1RoutesOf } from './route.ts'
import { pageOfAll } from './page-token.ts'
import { watched } from './watch.ts'
import type { Principal } from '../access.ts'
import type { FastifyRequest } from 'fastify'
import type { FollowingServer } from '../../delivery/servers.ts'
import type { Speaker } from '../../delivery/speakers.ts'
import type { Ground, Scope } from '../../ledger/scope.ts'
import type { V1Route } from './route.ts'
import type { WatchServices } from './watch.ts'
import type { Delivery } from '../../delivery/delivery.ts'
import type { History } from '../../ledger/history.ts'
import type { News } from '../news.ts'
import type { Contents } from '../../files/contents.ts'
import type { Keys } from '../../access/keys.ts'

/** Services that these routes use. */
export interface FollowServices {
  readonly ground: Ground
  readonly delivery: Delivery
  readonly history: History
  readonly news: News
  readonly deliveryNews: News
  readonly contents: Contents
  readonly keys: Keys
}

const v1Route = v1RoutesOf<FollowServices>()

const tag = 'following'
const closed = { additionalProperties: false } as const

/** Longest time that a request may wait for news: shorter than the timeouts of proxies. */
const WAIT_MS_MAX = 55_000

function serverAnswer({ url, message, ...server }: FollowingServer): ServerAnswer {
  return { ...server, ...(url !== undefined && { url }), ...(message !== undefined && { message }) }
}

export const FOLLOW_ROUTES: readonly V1Route<FollowServices & WatchServices>[] = [
  v1Route({
    method: 'GET',
    path: '/follow',
    operation: 'follow',
    summary:
      'What servers are to serve. With `If-None-Match` and `waitMs` it is answered as soon as something has changed, and with 304 where nothing has',
    tag,
    action: 'pull',
    // Callers with a role for some models only may follow these by reference.
    models: ({ query }) => (query.endpoints === '' && query.references !== undefined ? modelsOf(query.references) : []),
    query: Type.Object(
      {
        endpoints: Type.Optional(Type.String({ description: 'Names with commas between them. Default: all.' })),
        references: Type.Optional(
          Type.String({ description: 'What else is followed, `churn@champion` or `churn/3`, with commas between them. Default: nothing.' }),
        ),
        waitMs: Type.Optional(
          Type.Integer({ minimum: 0, maximum: WAIT_MS_MAX, description: 'How long to wait for a change. Default: 0.' }),
        ),
      },
      closed,
    ),
    answer: FollowedState,
    handle: async (call, reply) => {
      const { services, scope, query, request, caller } = call
      // Whoever only reads may not make receipts of predictions.
      const signs = caller.may('report', { environment: scope.environment, models: 'any' })
      const { states } = services.delivery
      const names = listOf(query.endpoints)
      const references = listOf(query.references) ?? []
      const strange = references.find((reference) => !/^[^/@:]+(?:@[^/@:]+|\/[0-9]{1,9})$/.test(reference))
      if (strange !== undefined)
        throw new SlipwayError('SLW_INPUT_INVALID', `${JSON.stringify(strange)} names no version; expected MODEL@ALIAS or MODEL/NUMBER`)
      const known = request.headers['if-none-match']
      const answerNow = async (generation: number): ReturnType<typeof states.text> =>
        await states.text(scope.environment, { names, references, receiptKeys: signs }, { generation, sequence })
      let sequence = references.length === 0 ? undefined : await services.history.last()
      let answer = await answerNow(await states.generation())
      const waits = waitingOf(request, query.waitMs ?? 0)
      while (known === `"${answer.etag}"` && !waits.aborted) {
        const news = await waitForNews(services, { generation: Number(answer.etag.split('.')[1]), sequence }, waits)
        if (news === undefined) break
        sequence = news.sequence
        answer = await answerNow(news.generation)
      }
      void reply.header('etag', `"${answer.etag}"`).header('cache-control', 'no-store')
      if (known === `"${answer.etag}"`) await reply.code(304).send()
      else await reply.type('application/json').send(answer.text)
      return {}
    },
  }),
  v1Route({
    method: 'GET',
    path: '/follow/versions/:version',
    operation: 'getManifest',
    summary: 'The files of a version, with the digest of every chunk',
    tag,
    action: 'pull',
    models: () => 'any',
    answer: VersionManifest,
    handle: async ({ services, scope, params, caller }) => {
      const { models, manifest } = await services.delivery.states.manifest(scope, params['version']!)
      requireOneOf(caller, scope.environment, models)
      return { body: manifest }
    },
  }),
  v1Route({
    method: 'GET',
    path: '/follow/contents/:content',
    operation: 'getContent',
    summary: 'The bytes of a file of a version, or a range of them',
    tag,
    action: 'pull',
    models: () => 'any',
    handle: async ({ services, scope, params, request, caller }, reply) => {
      const contentId = params['content']!
      const { size, models } = await services.delivery.states.contentOf(scope, contentId)
      requireOneOf(caller, scope.environment, models)
      await sendFile({ contents: services.contents, file: { contentId, size }, range: request.headers.range }, reply)
      return {}
    },
  }),
  v1Route({
    method: 'GET',
    path: '/servers',
    operation: 'listServers',
    summary: 'The servers that follow, and how each of them is',
    tag,
    action: 'read',
    query: Type.Object(PageQuery, closed),
    answer: pageOfThings(ServerAnswer),
    handle: async ({ services, scope, query }) => ({
      body: pageOfAll('servers', (await services.delivery.servers.list(scope)).map(serverAnswer), {
        ...query,
        placeOf: ({ name }) => name,
      }),
    }),
  }),
  ...watched(
    v1Route({
      method: 'GET',
      path: '/servers/:server',
      operation: 'getServer',
      summary: 'A server that follows, and how it is',
      tag,
      action: 'read',
      answer: ServerAnswer,
      handle: async ({ services, scope, params }) => {
        const found = (await services.delivery.servers.list(scope)).find(({ name }) => name === params['server'])
        if (found === undefined) throw new SlipwayError('SLW_NOT_FOUND', `no server "${params['server']}" has reported`)
        return { body: serverAnswer(found) }
      },
    }),
    { polled: true },
  ),
  v1Route({
    method: 'PUT',
    path: '/servers/:server/report',
    operation: 'reportServer',
    summary: 'A server tells of itself and of the versions that it serves',
    tag,
    action: 'report',
    body: ServerReport,
    handle: async ({ services, scope, params, body, caller }) => {
      const server = params['server']!
      await services.delivery.servers.report(scope, server, body, await speakerOf(services, { caller, scope, server }))
      return {}
    },
  }),
  v1Route({
    method: 'POST',
    path: '/servers/join',
    operation: 'joinServer',
    secret: true,
    summary: 'A join token becomes a key of its own for a server',
    tag,
    action: 'join',
    body: JoinBody,
    answer: JoinAnswer,
    status: 201,
    handle: async ({ services, scope, body, caller }) => {
      // Two servers of one name would overwrite each other's reports, and their windows would count as one.
      const { server, bootId = '', again = false } = body
      const { keyId } = caller
      const token =
        mayAll(caller, scope) || keyId === undefined ? undefined : { id: keyId, succeeds: await services.keys.succeededBy(caller.name) }
      await services.delivery.servers.join(scope, server, { bootId, again, token })
      return { body: await services.keys.ofServer(scope, server, { instead: 'all' }) }
    },
  }),
  v1Route({
    method: 'POST',
    path: '/servers/adopt',
    operation: 'adoptServers',
    summary:
      'Say that this database is the one to follow: for servers that followed it before it was restored, and for those that have reported that they follow another one',
    tag,
    action: 'admin',
    answer: AdoptAnswer,
    handle: async ({ services, scope, caller }) => {
      requireEverywhere(caller)
      const { id, succeeds } = await adoptServers(services.ground, scope)
      return { body: { id, succeeds: [...succeeds] } }
    },
  }),
  v1Route({
    method: 'POST',
    path: '/servers/:server/key',
    operation: 'rotateServerKey',
    secret: true,
    summary: 'A server replaces its key before it ends; the old one holds a little longer',
    tag,
    action: 'report',
    body: Type.Object({}, closed),
    answer: JoinAnswer,
    status: 201,
    handle: async ({ services, scope, params, caller }) => {
      const server = params['server']!
      if (serverOf(caller) !== server)
        throw new SlipwayError('SLW_FORBIDDEN', `${caller.kind} "${caller.name}" is not the key of server "${server}"`)
      return { body: await services.keys.ofServer(scope, server, { instead: caller.keyId! }) }
    },
  }),
]

/** The server whose key this is; undefined for any other key. */
function serverOf({ name, kind, grants }: Principal): string | undefined {
  const [grant, ...others] = grants
  return kind === 'key' && others.length === 0 && grant?.role === 'follow' ? /^server (.+)$/.exec(name)?.[1] : undefined
}

/** The key with which a caller speaks for a server; undefined for callers who may speak for every one. @throws SLW_FORBIDDEN */
export async function speakerOf(
  { keys }: Pick<FollowServices, 'keys'>,
  { caller, scope, server }: { readonly caller: Principal; readonly scope: Scope; readonly server: string },
): Promise<Speaker | undefined> {
  const madeFor = serverOf(caller)
  if (madeFor !== undefined && madeFor !== server)
    throw new SlipwayError('SLW_FORBIDDEN', `the key of server "${madeFor}" does not speak for "${server}"`)
  if (mayAll(caller, scope) || caller.keyId === undefined) return undefined
  const succeeds = madeFor === undefined ? await keys.succeededBy(caller.name) : []
  return { keyId: caller.keyId, keyName: caller.name, madeFor, succeeds }
}

/** Whether a caller is admin of the environment, or the server of this very process. */
function mayAll(caller: Principal, { environment }: Scope): boolean {
  return caller.kind === 'local' || caller.kind === 'server' || caller.may('admin', { environment, models: [] })
}

function modelsOf(references: string): string[] {
  return (listOf(references) ?? []).map((reference) => reference.split(/[@/]/, 1)[0]!)
}

/** @throws SLW_FORBIDDEN where the caller may have the files of none of these models */
function requireOneOf(caller: Principal, environment: string, models: readonly string[]): void {
  const able = models.find((model) => caller.may('pull', { environment, models: [model] })) ?? models[0]
  requirePermission(caller, 'pull', { environment, models: able === undefined ? [] : [able] })
}

/** Comma-separated names, sorted and without duplicates; empty names are dropped. */
function listOf(text: string | undefined): string[] | undefined {
  if (text === undefined) return undefined
  return [...new Set(text.split(',').map((name) => name.trim()))].filter((name) => name !== '').toSorted()
}

/** Position up to which changes have been seen. */
interface Seen {
  readonly generation: number
  /** Number of the newest event; undefined where only endpoints are followed. References also change with approvals and policies. */
  readonly sequence: number | undefined
}

/** A signal that is aborted after `waitMs` (at once for 0), or when the client has gone. */
function waitingOf(request: FastifyRequest, waitMs: number): AbortSignal {
  const over = waitMs === 0 ? AbortSignal.abort() : AbortSignal.timeout(waitMs)
  return AbortSignal.any([goneSignal(request), over])
}

/** @returns undefined where nothing has happened until `waits` is aborted, or the server ends */
async function waitForNews({ deliveryNews, news }: FollowServices, seen: Seen, waits: AbortSignal): Promise<Seen | undefined> {
  const known = new AbortController()
  const signal = AbortSignal.any([known.signal, waits, deliveryNews.ended])
  try {
    const [generation, sequence] = await Promise.race([
      deliveryNews.after(seen.generation, signal).then((now) => [now, seen.sequence] as const),
      ...(seen.sequence === undefined ? [] : [news.after(seen.sequence, signal).then((now) => [seen.generation, now] as const)]),
    ])
    return signal.aborted ? undefined : { generation, sequence }
  } finally {
    known.abort()
  }
}
