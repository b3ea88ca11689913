import { fileURLToPath } from 'node:url'
import { SlipwayError } from '../../core/errors.ts'
import { openFileStore } from './file-store.ts'
import { openS3Store } from './s3-store.ts'
import type { ObjectStore } from './object-store.ts'
import type { S3StoreOptions } from './s3-store.ts'

const EXPECTED = 'expected a folder (PATH or file:PATH) or s3://BUCKET/PREFIX?endpoint=URL&region=REGION'
/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html */
const BUCKET = /^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/
const PREFIX = /^[A-Za-z0-9._/-]*$/
const PARAMETERS: readonly string[] = ['endpoint', 'region', 'forcePathStyle']

function invalid(what: string): SlipwayError {
  return new SlipwayError('SLW_CONFIG_INVALID', `object store: ${what}; ${EXPECTED}`)
}

/**
 * Opens the store that a URL names: a folder (`/var/lib/slipway/objects`, `file:objects`, `file:///var/lib/objects`) or a bucket
 * (`s3://models/store?endpoint=http://127.0.0.1:9000&region=us-east-1&forcePathStyle=true`).
 * @throws SLW_CONFIG_INVALID for anything else; what opening the store throws
 */
export async function openObjectStore(url: string): Promise<ObjectStore> {
  // One letter before the colon is a drive.
  const scheme = /^([A-Za-z][A-Za-z0-9+.-]+):/.exec(url)?.[1]?.toLowerCase()
  if (scheme === 's3') return await openS3Store(s3Options(url))
  if (scheme === undefined || scheme === 'file') return await openFileStore(scheme === undefined ? folderOf(url) : filePath(url))
  throw invalid(`"${scheme}:" is no kind of store`)
}

function filePath(url: string): string {
  if (!url.slice('file:'.length).startsWith('//')) return folderOf(url.slice('file:'.length))
  try {
    return fileURLToPath(url)
  } catch (error) {
    throw invalid(`"${url}" names no folder of this machine (${error instanceof Error ? error.message : String(error)})`)
  }
}

function folderOf(path: string): string {
  if (path.trim() === '') throw invalid('no folder is named')
  return path
}

function s3Options(text: string): S3StoreOptions {
  // Never shown in a message as a whole: it may have credentials in it.
  const url = URL.parse(text)
  if (url === null) throw invalid('the s3:// URL cannot be read')
  if (url.username !== '' || url.password !== '')
    throw invalid(
      'credentials do not belong into the URL, which ends up in logs; give them by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or a profile',
    )
  const bucket = url.host
  if (!BUCKET.test(bucket)) throw invalid(`"${bucket}" is no name of a bucket`)
  const prefix = url.pathname
  if (!PREFIX.test(prefix) || prefix.split('/').includes('..'))
    throw invalid(`prefix "${prefix}" has other characters than letters, digits and ._-/`)
  for (const name of url.searchParams.keys())
    if (!PARAMETERS.includes(name)) throw invalid(`"${name}" is no parameter of s3://; known are ${PARAMETERS.join(', ')}`)
  const endpoint = url.searchParams.get('endpoint')
  const region = url.searchParams.get('region')
  const style = url.searchParams.get('forcePathStyle')
  if (endpoint !== null && !/^https?:$/.test(URL.parse(endpoint)?.protocol ?? '')) throw invalid('endpoint is no http:// or https:// URL')
  if (style !== null && style !== 'true' && style !== 'false')
    throw invalid(`forcePathStyle is "${style}", and only true or false make sense`)
  return {
    bucket,
    prefix,
    ...(endpoint !== null && { endpoint }),
    ...(region !== null && { region }),
    ...(style !== null && { forcePathStyle: style === 'true' }),
  }
}
