/** CloudEvents 1.0 in the JSON format (cloudevents/spec, formats/json-format.md), where their data is a body of rows. */
import { SlipwayError } from '../../core/errors.ts'
import { batchReader, readBatch, readBatchBody } from './instances.ts'
import type { JsonReader } from '../../tensor/json-reader.ts'
import type { BatchRead, BatchReading } from './instances.ts'

/** Attributes that every event has. */
export const EVENT_ATTRIBUTES = ['specversion', 'id', 'source', 'type'] as const
/** Versions of the specification whose required attributes are these; 0.3 is what old clients of Knative send. */
const SPEC_VERSIONS = ['1.0', '0.3']
/** Members by which an event is known, as a body of rows has none of them. */
const OF_EVENTS = new Set(['specversion', 'source', 'type', 'time', 'subject', 'data', 'data_base64', 'datacontenttype', 'dataschema'])
const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/

/** @throws SLW_BAD_REQUEST naming the attribute that is missing, or the version that is not known; SLW_UNSUPPORTED_MEDIA_TYPE */
export function checkEvent(attribute: (name: string) => unknown): void {
  for (const name of EVENT_ATTRIBUTES) {
    const value = attribute(name)
    if (typeof value !== 'string' || value === '')
      throw new SlipwayError('SLW_BAD_REQUEST', `CloudEvent: "${name}" is missing; an event has ${EVENT_ATTRIBUTES.join(', ')}`)
  }
  const version = String(attribute('specversion'))
  if (!SPEC_VERSIONS.includes(version))
    throw new SlipwayError('SLW_BAD_REQUEST', `CloudEvent: specversion "${version}" is not known; expected ${SPEC_VERSIONS.join(' or ')}`)
  const type = attribute('datacontenttype')
  if (typeof type === 'string' && !/^[\w.+-]+\/(?:[\w.+-]+\+)?json\s*(?:;|$)/i.test(type))
    throw new SlipwayError('SLW_UNSUPPORTED_MEDIA_TYPE', `CloudEvent: datacontenttype "${type}" is not read; expected application/json`)
}

/** Reads a body of rows, or an event whose data is one. @throws as `readBatch` and `checkEvent` */
export function readEventBody(json: Buffer, reading: BatchReading): Promise<BatchRead> {
  if (json.length === 0) return readBatchBody(json, reading)
  const reader = batchReader(json, reading)
  return looksLikeEvent(reader, reading) ? readEvent(reader, reading) : readBatchBody(json, reading)
}

/** Whether the first member that says so is one of events. */
function looksLikeEvent(reader: JsonReader, { form }: BatchReading): boolean {
  if (!reader.isObject()) return false
  return reader.ahead(() => {
    reader.enterObject()
    for (let key = reader.nextKey(true); key !== undefined; key = reader.nextKey(false)) {
      if (OF_EVENTS.has(key)) return true
      if (form.keys.some((one) => one === key)) return false
      reader.skipValue()
    }
    return false
  })
}

async function readEvent(reader: JsonReader, reading: BatchReading): Promise<BatchRead> {
  const attributes = new Map<string, unknown>()
  let read: BatchRead | undefined
  reader.enterObject()
  for (let key = reader.nextKey(true); key !== undefined; key = reader.nextKey(false)) {
    reader.path = key
    if (key === 'data' || key === 'data_base64') {
      if (read !== undefined) throw reader.fail('there is data already; an event has "data" or "data_base64", once')
      read = key === 'data' ? await readBatch(reader, reading) : await readBatchBody(base64(reader), reading)
    } else attributes.set(key, reader.readValue())
    reader.path = ''
  }
  reader.end()
  checkEvent((name) => attributes.get(name))
  if (read === undefined) throw new SlipwayError('SLW_BAD_REQUEST', 'CloudEvent: it has no "data" and no "data_base64"')
  return read
}

function base64(reader: JsonReader): Buffer {
  const text = reader.readString()
  if (!BASE64.test(text)) throw reader.fail('expected bytes in base64')
  return Buffer.from(text, 'base64')
}
