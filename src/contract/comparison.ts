/** What is shown of a version beside another one, by what happened to requests and units under both. */
import { Type } from 'typebox'
import { oneOf } from './schema.ts'
import type { Static } from 'typebox'

const Optional = Type.Optional
const Count = (description: string) => Type.Integer({ minimum: 0, description })

const Compared = Type.Object({ variant: Type.String(), model: Type.String(), version: Type.String() })

const Counts = Type.Object({
  events: Count('Requests or units that went wrong.'),
  exposures: Count('Requests or units that chance assigned, and whose outcome can be known.'),
})

export const VERDICTS = ['pass', 'fail', 'inconclusive', 'no data'] as const

export const ComparisonAnswer = Type.Object({
  endpoint: Type.String(),
  base: Compared,
  candidate: Compared,
  from: Type.Integer({ description: 'Since when both have shared the requests, UTC epoch milliseconds.' }),
  until: Type.Integer({ description: 'UTC epoch milliseconds.' }),
  verdict: oneOf(VERDICTS, { description: 'Over all guardrails.' }),
  metrics: Type.Array(
    Type.Object({
      metric: Type.String(),
      role: oneOf(['guardrail', 'warn', 'info']),
      verdict: oneOf(VERDICTS),
      base: Counts,
      candidate: Counts,
      p: Type.Number({ description: 'Valid at any moment: the probability of as much evidence where the candidate is no worse.' }),
      ratio: Type.Object(
        {
          low: Type.Number(),
          likeliest: Optional(Type.Number({ description: 'Missing: none, or without limit.' })),
          high: Optional(Type.Number({ description: 'Missing: without limit.' })),
        },
        { description: 'How many times as often the candidate goes wrong; what lies outside is ruled out.' },
      ),
      remaining: Optional(Type.Integer({ description: 'Requests of both until a verdict, if everything goes on as it does.' })),
      sentence: Type.String({ description: 'For people.' }),
    }),
  ),
  shadow: Optional(
    Type.Object(
      {
        same: Count(''),
        different: Count('Another class, number or ranking.'),
        worse: Count('Only the candidate failed.'),
        better: Count('Only the base failed.'),
        bothFailed: Count(''),
        dropped: Count('There was no room for the copy.'),
        p: Type.Number({
          description:
            'Valid at any moment: the probability of as many of `worse` beside `better` where the candidate fails no more often.',
        }),
      },
      { description: 'Copies of requests that the candidate got as a shadow. Missing: there were none.' },
    ),
  ),
})
export type ComparisonAnswer = Static<typeof ComparisonAnswer>
