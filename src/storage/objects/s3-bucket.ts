import { setTimeout as sleep } from 'node:timers/promises'
import { mayPass, s3Error } from './s3-errors.ts'
import type { S3Client } from '@aws-sdk/client-s3'

export type S3Sdk = typeof import('@aws-sdk/client-s3')

const FIRST_WAIT_MS = 100
const WAIT_MS_MAX = 2000

/** A bucket, its client, and the number of attempts. */
export interface S3Bucket {
  readonly sdk: S3Sdk
  readonly client: S3Client
  readonly name: string
  /** Prefix of every key: empty, or ends with `/`. */
  readonly prefix: string
  /** Attempts before a request has failed. */
  readonly attempts: number
}

/** The object of a request, as parameters of the SDK. */
export function placeOf({ name, prefix }: S3Bucket, key: string): { Bucket: string; Key: string } {
  return { Bucket: name, Key: prefix + key }
}

/** Address of an object in messages: `s3://models/store/0192`. */
export function addressOf({ name, prefix }: S3Bucket, key: string): string {
  return `s3://${name}/${prefix}${key}`
}

/** The answer to a request. Its errors are converted: `the bucket could not <what>: ...`. */
export async function ask<T>(what: string, request: Promise<T>): Promise<T> {
  try {
    return await request
  } catch (error) {
    throw s3Error(error, what)
  }
}

/** Retries a request that the SDK does not retry itself, because it cannot rewind a stream. */
export async function askAgain<T>(what: string, attempts: number, request: () => Promise<T>): Promise<T> {
  for (let failures = 1; ; failures++)
    try {
      return await request()
    } catch (error) {
      if (failures >= attempts || !mayPass(error)) throw s3Error(error, what)
      await wait(failures)
    }
}

/** Waits up to twice as long after each failure, with jitter for requests that failed together. */
export async function wait(failures: number, signal?: AbortSignal): Promise<void> {
  await sleep(Math.random() * Math.min(WAIT_MS_MAX, FIRST_WAIT_MS * 2 ** failures), undefined, signal === undefined ? {} : { signal })
}
