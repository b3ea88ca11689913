import { SlipwayError } from '../core/errors.ts'
import type { Scope, Write } from '../ledger/scope.ts'
import type { SpeakersRow } from './tables.ts'

/** The key of a caller who tells something of a server. */
export interface Speaker {
  readonly keyId: string
  readonly keyName: string
  /** The server that the key was made for when that joined; undefined for any other key. */
  readonly madeFor: string | undefined
  /** Ids of keys that it was made in place of. */
  readonly succeeds: readonly string[]
}

/** The token by which a server joins. */
export interface JoinToken {
  readonly id: string
  /** Ids of tokens that it was made in place of. */
  readonly succeeds: readonly string[]
}

/** How long a server is its speaker's, at least, after it was last spoken for. */
const HELD_MS = 60_000

/**
 * Notes that a key speaks for a server. A key speaks for one server, and a server has one key: that of its own where it has joined, else the
 * one that spoke first, as long as it goes on.
 * @param untilMs when what is said expires
 * @throws SLW_FORBIDDEN
 */
export async function speakFor(
  write: Write,
  scope: Scope,
  server: string,
  { speaker, nowMs, untilMs }: { readonly speaker: Speaker; readonly nowMs: number; readonly untilMs: number },
): Promise<void> {
  const { environment } = scope
  const { keyId, keyName, madeFor } = speaker
  const rows = await heldSpeakers(write, scope, nowMs)
    .where((columns) => columns.or([columns('server', '=', server), columns('key_id', '=', keyId)]))
    .execute()
  const present = rows.find((row) => row.server === server)
  if (madeFor === undefined) {
    const elsewhere = rows.find((row) => row.server !== server)
    if (elsewhere !== undefined)
      throw new SlipwayError(
        'SLW_FORBIDDEN',
        `the key "${keyName}" speaks for server "${elsewhere.server}", and not for "${server}" too: give each server a key, or a join token of which it makes one`,
      )
    refuseAnother(present, speaker)
  }
  const held = { key_id: keyId, key_name: keyName, held_until: Math.max(untilMs, nowMs + HELD_MS) }
  // What is said often need not be written each time.
  if (present?.key_id === keyId && present.held_until > nowMs + HELD_MS / 2) return
  await write
    .insertInto('speakers')
    .values({ environment, server, joined_by: null, ...held })
    .onConflict((conflict) => conflict.columns(['environment', 'server']).doUpdateSet(held))
    .execute()
}

/**
 * Whether nobody else speaks for a server, without speaking for it: windows of a server that was called otherwise before are sent by the key of
 * its successor.
 * @throws SLW_FORBIDDEN
 */
export async function requireUnspoken(
  write: Write,
  scope: Scope,
  server: string,
  { speaker, nowMs }: { readonly speaker: Speaker; readonly nowMs: number },
): Promise<void> {
  if (speaker.madeFor === server) return
  const present = await heldSpeakers(write, scope, nowMs).where('server', '=', server).executeTakeFirst()
  refuseAnother(present, speaker)
}

/** The speakers of an environment whose servers go on. */
function heldSpeakers(write: Write, { environment }: Scope, nowMs: number) {
  return write.selectFrom('speakers').selectAll().where('environment', '=', environment).where('held_until', '>', nowMs)
}

/** @throws SLW_FORBIDDEN where somebody else speaks for the server */
function refuseAnother(present: SpeakersRow | undefined, { keyId, succeeds }: Speaker): void {
  if (present !== undefined && present.key_id !== keyId && !succeeds.includes(present.key_id))
    throw new SlipwayError('SLW_FORBIDDEN', `server "${present.server}" is spoken for by another key, "${present.key_name}"`)
}

/**
 * Notes that a server joins by a token. Only the token by which it has joined before may take the place of one that goes on.
 * @throws SLW_CONFLICT
 */
export async function joinAs(
  write: Write,
  scope: Scope,
  server: string,
  { token, nowMs, untilMs }: { readonly token: JoinToken | undefined; readonly nowMs: number; readonly untilMs: number },
): Promise<void> {
  const present = await heldSpeakers(write, scope, nowMs).where('server', '=', server).executeTakeFirst()
  const name = `server ${server}`
  // Its own key alone says nothing of the token: it was made before that was noted, or by an admin.
  const isOwn = present === undefined || (present.joined_by === null && present.key_name === name)
  if (!isOwn && token !== undefined && present.joined_by !== token.id && !token.succeeds.includes(present.joined_by ?? ''))
    throw new SlipwayError(
      'SLW_CONFLICT',
      `server "${server}" goes on, and did not join by this token: stop it first, or give this one another --server-name`,
      { retryAfterMs: present.held_until - nowMs },
    )
  const held = { key_id: '', key_name: name, joined_by: token?.id ?? null, held_until: untilMs }
  await write
    .insertInto('speakers')
    .values({ environment: scope.environment, server, ...held })
    .onConflict((conflict) => conflict.columns(['environment', 'server']).doUpdateSet(held))
    .execute()
}
