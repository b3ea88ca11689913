import { setFlagsFromString } from 'node:v8'

/**
 * V8 allocates what survived a few collections directly in the old space ("allocation site pretenuring"). In a server the
 * objects of requests that waited in a queue look like that; each then keeps its neighbours alive until a full collection,
 * and collections cost a third of the time of a small request. Measured on churn at 32 connections: 14.8k requests a second
 * with it, 18.8k without. Call before the first request; for processes that serve, not for applications that embed.
 */
export function tuneV8(): void {
  setFlagsFromString('--no-allocation-site-pretenuring')
}
