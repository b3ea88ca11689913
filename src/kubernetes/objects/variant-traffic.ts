/** What routes of a mesh are made of: whole weights, and the headers that choose a variant whatever the weights are. */
import type { ResolvedKubernetes, Workload } from '../resolve.ts'

export interface Share {
  readonly workload: Workload
  /** Of the sum of all: hundredths of a percent where whole percents are not enough. */
  readonly weight: number
}

export interface HeaderMatch {
  readonly workload: Workload
  /** Headers that hold together; `undefined` is any value. */
  readonly headers: readonly { readonly name: string; readonly value: string | undefined }[]
}

/** Whole weights with the shares of the variants: percents, or hundredths of them where one needs that. */
export function sharesOf({ workloads }: ResolvedKubernetes): Share[] {
  const whole = workloads.every(({ variant }) => Number.isInteger(variant?.weight ?? 100))
  return workloads.map((workload) => ({ workload, weight: Math.round((workload.variant?.weight ?? 100) * (whole ? 1 : 100)) }))
}

/** Rules of audiences, the first that holds first. */
export function matchesOf({ workloads }: ResolvedKubernetes): HeaderMatch[] {
  return workloads.flatMap((workload) =>
    (workload.variant?.match ?? []).map((audience) => ({
      workload,
      headers: ('all' in audience ? audience.all : [audience]).flatMap((condition) =>
        'header' in condition && typeof condition.is === 'string'
          ? [{ name: condition.header, value: condition.is === '*' ? undefined : condition.is }]
          : [],
      ),
    })),
  )
}

/** Variants that get copies of requests, with their percent. */
export function shadowsOf({ workloads }: ResolvedKubernetes): { readonly workload: Workload; readonly percent: number }[] {
  return workloads.flatMap((workload) => {
    const percent = workload.variant?.shadow ?? 0
    return percent > 0 ? [{ workload, percent }] : []
  })
}
