/** Requests as `multipart/form-data`, as pages and `curl -F` send them. */
import { messageOf, SlipwayError } from '../core/errors.ts'
import { cellValue, textColumns } from './csv.ts'
import { readRequest, requestOf } from './request.ts'
import type { PeopleRequest, ReadLimits } from './request.ts'
import type { Signature } from './signature.ts'

const TYPE = 'multipart/form-data'

/** Number of files and fields of a form: each costs far more than its bytes. */
const PARTS_MAX = 10_000

/** Whether a content type is that of a form. */
export function isForm(contentType: string | undefined): boolean {
  return contentType !== undefined && contentType.slice(0, TYPE.length).toLowerCase() === TYPE
}

/** Parts that are a whole request, with a reader of their own. */
export interface WholeParts {
  readonly names: readonly string[]
  read(bytes: Buffer, contentType: string | undefined): PeopleRequest
}

/**
 * Reads a form: pictures as files, one file of CSV or JSON, or a row with a field for each feature. A field `inputs` holds JSON.
 * @throws SLW_BAD_REQUEST for what is no form, or has files and fields that do not go together; SLW_LIMIT_EXCEEDED
 */
export async function readForm(
  body: Buffer,
  contentType: string,
  signature: Signature,
  { limits = {}, whole }: { readonly limits?: ReadLimits; readonly whole?: WholeParts } = {},
): Promise<PeopleRequest> {
  requireFewParts(body, contentType)
  const form = await parsed(body, contentType)
  const files: (readonly [name: string, file: File])[] = []
  const fields: (readonly [name: string, text: string])[] = []
  for (const [name, value] of form) {
    if (typeof value === 'string') fields.push([name, value])
    else files.push([name, value])
  }
  const [field] = fields
  if (whole !== undefined && files.length + fields.length === 1) {
    const [[name, file] = []] = files
    if (file !== undefined && whole.names.includes(name!)) return whole.read(Buffer.from(await file.arrayBuffer()), typeOf(file))
    if (field !== undefined && whole.names.includes(field[0])) return whole.read(Buffer.from(field[1]), undefined)
  }
  if (files.length > 0 && field !== undefined) throw invalid(`there are files and the field "${field[0]}": send either files or fields`)
  if (files.length > 0) return await fromFiles(files, signature, limits)
  if (field === undefined) throw invalid('it has no parts')
  if (fields.length === 1 && field[0] === 'inputs')
    return requestOf({ inputs: readRequest(Buffer.from(field[1]), undefined, signature, limits).rows }, signature)
  if (signature.image !== undefined) throw invalid('the model takes pictures: send one as a file, as curl -F file=@photo.jpg does')
  const textual = textColumns(signature)
  const row: Record<string, unknown> = Object.create(null)
  for (const [name, text] of fields) {
    if (name in row) throw invalid(`the field "${name}" is there twice`)
    row[name] = cellValue(text, textual.has(name))
  }
  return requestOf(row, signature)
}

function requireFewParts(body: Buffer, contentType: string): void {
  const [, quoted, plain] = /;\s*boundary=(?:"([^"]+)"|([^;\s]+))/i.exec(contentType) ?? []
  if (quoted === undefined && plain === undefined) return
  const boundary = `--${quoted ?? plain}`
  let parts = 0
  for (let at = body.indexOf(boundary); at >= 0; at = body.indexOf(boundary, at + boundary.length))
    // The last one ends the form.
    if (++parts > PARTS_MAX + 1) throw new SlipwayError('SLW_LIMIT_EXCEEDED', `${TYPE}: it has more than ${PARTS_MAX} parts`)
}

async function parsed(body: Buffer, contentType: string): Promise<FormData> {
  try {
    return await new Response(body as never, { headers: { 'content-type': contentType } }).formData()
  } catch (error) {
    throw invalid(messageOf(error))
  }
}

async function fromFiles(
  files: readonly (readonly [name: string, file: File])[],
  signature: Signature,
  limits: ReadLimits,
): Promise<PeopleRequest> {
  if (signature.image !== undefined) {
    const pictures = await Promise.all(files.map(async ([path, file]) => ({ bytes: Buffer.from(await file.arrayBuffer()), path })))
    return { rows: [], pictures, many: pictures.length > 1, path: 'files' }
  }
  const [[, file] = [], ...more] = files
  if (file === undefined || more.length > 0) throw invalid(`there are ${files.length} files: send one of CSV or JSON`)
  return readRequest(Buffer.from(await file.arrayBuffer()), typeOf(file), signature, limits)
}

/** The content type of a file: what was sent with it, unless that says nothing; then what its name says. */
function typeOf({ name, type }: File): string | undefined {
  if (type !== '' && type !== 'application/octet-stream') return type
  if (/\.csv$/i.test(name)) return 'text/csv'
  return /\.json$/i.test(name) ? 'application/json' : undefined
}

function invalid(what: string): SlipwayError {
  return new SlipwayError('SLW_BAD_REQUEST', `multipart/form-data: ${what}`)
}
