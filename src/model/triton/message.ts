/** Fields of messages that were read, with the defaults of proto3 where they are absent. */
import type { Message, Value } from './text-format.ts'

const NONE: readonly Value[] = []

function valuesOf({ fields }: Message, name: string): readonly Value[] {
  return fields.get(name) ?? NONE
}

export function has({ fields }: Message, name: string): boolean {
  return fields.has(name)
}

/** Line on which a field begins; of the message where it is absent. */
export function lineOf(message: Message, name: string): number {
  return message.fields.get(name)?.[0]?.line ?? message.line
}

/** A string, or the name of an enum's value; '' where it is absent. */
export function textOf(message: Message, name: string): string {
  const value = valuesOf(message, name)[0]?.value
  return typeof value === 'string' ? value : ''
}

export function textsOf(message: Message, name: string): string[] {
  return valuesOf(message, name).map(({ value }) => String(value))
}

/** An integer; beyond 2^53 the nearest double. 0 where it is absent. */
export function numberOf(message: Message, name: string): number {
  return Number(valuesOf(message, name)[0]?.value ?? 0)
}

export function numbersOf(message: Message, name: string): number[] {
  return valuesOf(message, name).map(({ value }) => Number(value))
}

export function isSet(message: Message, name: string): boolean {
  return valuesOf(message, name)[0]?.value === true
}

export function partOf(message: Message, name: string): Message | undefined {
  return valuesOf(message, name)[0]?.value as Message | undefined
}

export function partsOf(message: Message, name: string): Message[] {
  return valuesOf(message, name).map(({ value }) => value as Message)
}
