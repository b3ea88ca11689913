/** `slipway gate` for files on this machine: what it reads, what it finds, and how it ends. */
import assert from 'node:assert/strict'
import { createServer } from 'node:http'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { slipway } from '../cli/slipway.ts'
import { example, ROOT } from '../fixtures.ts'
import { startS3Server } from '../storage/s3-server.ts'
import { temporaryFolder } from '../temporary-folder.ts'
import { classifier, regressor } from './models.ts'
import type { AddressInfo } from 'node:net'
import type { GateReport, GateResult } from '../../src/contract/gate-report.ts'
import type { TemporaryFolder } from '../temporary-folder.ts'

let folder: TemporaryFolder
before(async () => {
  folder = await temporaryFolder()
})
after(() => folder[Symbol.asyncDispose]())

interface Found {
  readonly code: number
  readonly report: GateReport & { readonly verdict: string }
  readonly stderr: string
  result(check: string): GateResult
}

/** Runs the gates of a document, and reads what was found. */
async function gate(model: string, document: string, more: readonly string[] = []): Promise<Found> {
  const file = await folder.write('gates.yaml', document)
  const { code, stdout, stderr } = await slipway(['gate', model, '--gates', file, '--output', 'json', ...more])
  const report = (stdout === '' ? {} : JSON.parse(stdout)) as Found['report']
  return {
    code,
    report,
    stderr: stderr.startsWith('{') ? (JSON.parse(stderr) as { message: string }).message : stderr,
    result(check) {
      const found = report.results.find((one) => one.check === check)
      assert.ok(found !== undefined, `${check} in ${stdout} ${stderr}`)
      return found
    },
  }
}

/** 100 rows of ages 0 to 99, of whom those from 50 on are `yes`. */
const AGES = [
  'age,vip,truth,id',
  ...Array.from({ length: 100 }, (_, age) => `${age},${age % 2 === 0},${age < 50 ? 'no' : 'yes'},p${age}`),
].join('\n')

const DATA = 'datasets: { d: { file: d.csv, label: truth, id: id } }\n'

describe('the example', () => {
  it('passes, with the values that scikit-learn has for the same rows, and reports it in three formats', async () => {
    const reports = ['md', 'xml', 'json'].map((kind) => join(folder.path, `report.${kind}`))
    const { code, stdout, stderr } = await slipway([
      'gate',
      example('churn'),
      '--gates',
      join(ROOT, 'examples/gates/gates.yaml'),
      '--report',
      ...reports,
    ])
    assert.equal(code, 0, stdout + stderr)
    assert.match(stdout, /^pass +golden examples +3 answered as expected$/m)
    assert.match(stdout, /gate release: pass$/m)
    const [markdown, junit, json] = await Promise.all(reports.map((file) => readFile(file, 'utf8')))
    const report = JSON.parse(json!) as GateReport
    const value = (name: string): number | undefined => report.results.find((result) => result.name === name)?.numbers['value']
    // roc_auc_score and recall_score of scikit-learn 1.9.1, for the answers of ONNX Runtime for Python 1.31.1.
    assert.ok(Math.abs(value('rocAuc on holdout')! - 0.8533703470241254) < 1e-6)
    assert.ok(Math.abs(value('recall of churn on holdout')! - 0.5688225538971807) < 1e-12)
    assert.match(markdown!, /^# Gate release of .*: pass$/m)
    assert.match(markdown!, /^\| plan = basic \| pass \| 894 \| 0\.811 \|$/m)
    assert.match(junit!, /<testsuite name="gate release of [^"]*" [^>]*tests="12" failures="0" errors="0" skipped="0">/)
    const { latency, memory } = Object.fromEntries(report.results.map((result) => [result.check, result]))
    assert.ok(latency!.numbers['runs'] === 500 && latency!.numbers['p99Ms']! > 0)
    assert.ok(memory!.numbers['megabytes']! > 10)
  })
})

describe('exit codes', () => {
  before(async () => {
    await folder.write('d.csv', AGES)
    await folder.write('few.csv', AGES.split('\n').slice(0, 11).join('\n'))
    await classifier(folder, 'good', { age: 1, bias: -49.5 })
  })
  const good = (): string => join(folder.path, 'good')

  it('0: it has passed', async () => {
    const { code, report } = await gate(good(), `${DATA}checks: { metrics: [{ metric: accuracy, min: 1 }] }\n`)
    assert.deepEqual([code, report.verdict], [0, 'pass'])
    assert.deepEqual(report.notes, ['the package has no golden examples'])
  })

  it('1: it has failed, and ten rows that show it are told by their ids', async () => {
    await classifier(folder, 'always', { age: 0, bias: 1 })
    const xml = join(folder.path, 'failed.xml')
    const failed = await gate(join(folder.path, 'always'), `${DATA}checks: { metrics: [{ metric: accuracy, min: 0.6 }] }\n`, [
      '--report',
      xml,
    ])
    assert.deepEqual([failed.code, failed.report.verdict], [1, 'fail'])
    assert.deepEqual([failed.result('metrics').failing?.length, failed.result('metrics').failing?.[0]], [10, 'p0: yes instead of no'])
    assert.match(await readFile(xml, 'utf8'), /<failure message="accuracy is 0.5: is below 0.6" type="fail"\/>/)
  })

  it('3: too few rows are no pass, and are a failure for a CI system', async () => {
    const xml = join(folder.path, 'few.xml')
    const few = await gate(
      good(),
      'datasets: { d: { file: few.csv, label: truth } }\nchecks: { metrics: [{ metric: accuracy, min: 0 }] }\n',
      ['--report', xml],
    )
    assert.deepEqual([few.code, few.report.verdict], [3, 'insufficient'])
    assert.match(await readFile(xml, 'utf8'), /<failure message="10 rows, and 30 are needed" type="insufficient"\/>/)
    const nothing = await gate(good(), 'checks: { contract: false }\n')
    assert.deepEqual([nothing.code, nothing.report.verdict], [3, 'insufficient'], 'nothing checked is nothing passed')
  })

  it('3: a warning waits for a person, also where there is nobody who could approve a folder', async () => {
    const warned = await gate(
      good(),
      `${DATA}checks: { metrics: [{ metric: accuracy, min: 0.5 }, { metric: accuracy, min: 2, severity: warning, name: dream }] }\n`,
    )
    assert.deepEqual([warned.code, warned.report.verdict], [3, 'waiting'])
    assert.match(warned.result('approval').sentence, /waits for a person, as these warn: dream: register it/)
  })

  it('2: what could not be found out, with what to do', async () => {
    const wrong: readonly (readonly [document: string, message: RegExp, more?: readonly string[]])[] = [
      ['datasets: { d: { file: nowhere.csv, label: truth } }', /dataset "d": .*nowhere\.csv is not there/],
      ['datasets: { d: { file: d.csv, label: thruth } }', /has no column "thruth"; it has age, vip, truth, id/],
      ['datasets: { d: { file: d.csv, label: age } }', /the label 2 is none of no, yes \(nor their place, 0 to 1\)/],
      ['checks:\n  metrics:\n    - { metric: acuracy }', /gates\.yaml:3:9: checks\.metrics\[0\]\.metric: must be one of/],
      ['check: {}', /gates\.yaml:1:1: check: unknown key; did you mean "checks"\?/],
      [`${DATA}checks: { metrics: [{ metric: f1, min: 0, dataset: e }] }`, /there is no dataset "e"; there is d/],
      [`${DATA}checks: { metrics: [{ metric: f1 }] }`, /checks\.metrics\[0\]: nothing could fail it; give one of min, max/],
      [
        `${DATA}checks: { directional: [{ feature: agee, add: 1, expect: increase }] }`,
        /"agee" is no feature of the model; it has age, vip/,
      ],
      [`${DATA}checks: { invariance: [{}] }`, /nothing is changed; say what with set, case, add or permute/],
      ['checks: { latency: { p99Ms: 1 } }', /checks\.latency: it needs a dataset/],
      [DATA, /expected a name that ends in \.md, \.xml \(JUnit\) or \.json/, ['--report', 'r.pdf']],
      [DATA, /"nowhere" is no path, and names no version/, ['--against', 'nowhere']],
      [DATA, /http:\/\/127\.0\.0\.1:9 does not answer/, ['--against', 'churn/1', '--url', 'http://127.0.0.1:9']],
    ]
    for (const [document, message, more] of wrong) {
      const { code, stderr } = await gate(good(), document, more)
      assert.deepEqual([code, message.test(stderr)], [2, true], `${document}: ${stderr}`)
    }
    const alone = await slipway(['gate', good(), '--data', join(folder.path, 'd.csv')])
    assert.deepEqual([alone.code, /which column has the truth\? Give --label COLUMN/.test(alone.stderr)], [2, true])
    assert.equal((await slipway(['gate'])).code, 2)
  })
})

describe('datasets', () => {
  it('are CSV, JSON Lines and Parquet, of this machine, of the web and of a bucket, and mean the same', { timeout: 120_000 }, async () => {
    const model = await classifier(folder, 'reader', { age: 1, bias: -44.5 })
    const rows = AGES.split('\n')
      .slice(1)
      .map((line) => line.split(','))
      .map(([age, vip, truth]) => ({ age: Number(age), vip: vip === 'true', truth: truth!, weight: Number(age) < 45 ? 1 : 2 }))
    const csv = ['age,vip,truth,weight', ...rows.map((row) => Object.values(row).join(',')), '7,true,,1'].join('\n')
    const { ByteWriter, ParquetWriter, schemaFromColumnData } = await import('hyparquet-writer')
    const columnData = (['age', 'vip', 'truth', 'weight'] as const).map((name) => ({
      name,
      data: rows.map((row) => row[name]),
      type: name === 'vip' ? ('BOOLEAN' as const) : name === 'truth' ? ('STRING' as const) : ('DOUBLE' as const),
    }))
    const bytes = new ByteWriter()
    const writer = new ParquetWriter({ writer: bytes, schema: schemaFromColumnData({ columnData }) })
    await writer.write({ columnData })
    await writer.finish()
    await folder.write('w.csv', csv)
    await folder.write('w.jsonl', rows.map((row) => JSON.stringify(row)).join('\n'))
    await folder.write('w.parquet', new Uint8Array(bytes.buffer.slice(0, bytes.index)))
    await using s3 = await startS3Server()
    await mkdir(join(s3.folder, 'data'), { recursive: true })
    await writeFile(join(s3.folder, 'data/w.csv'), csv)
    const web = createServer((request, response) => response.writeHead(request.url === '/w.csv' ? 200 : 404).end(csv)).listen(
      0,
      '127.0.0.1',
    )
    await using opened = new AsyncDisposableStack()
    opened.defer(() => void web.close())
    const url = await new Promise<string>((resolve) =>
      web.once('listening', () => resolve(`http://127.0.0.1:${(web.address() as AddressInfo).port}`)),
    )
    const read = async (file: string): Promise<Found> =>
      await gate(
        model,
        `datasets: { d: { file: "${file}", label: truth, weight: weight } }\nchecks: { metrics: [{ metric: accuracy, min: 0.9 }, { metric: logLoss, max: 9 }] }`,
        ['--s3-endpoint', s3.endpoint],
      )
    for (const file of ['w.csv', 'w.jsonl', 'w.parquet', `${url}/w.csv`, 's3://objects/data/w.csv']) {
      const found = await read(file)
      // Five of 100 rows are wrong, each with a weight of 2 in 155.
      assert.equal(found.result('metrics').numbers['value'], 145 / 155, `${file}: ${found.stderr}`)
      assert.deepEqual(
        [found.code, found.report.datasets[0]?.rows, found.report.datasets[0]?.unlabelled],
        [0, 100, file.endsWith('.csv') ? 1 : 0],
      )
    }
    for (const [file, message] of [
      [`${url}/nothing.csv`, /answers 404/],
      ['s3://objects/data/nothing.csv', /is not there; expected one file/],
    ] as const) {
      const { code, stderr } = await read(file)
      assert.deepEqual([code, message.test(stderr)], [2, true], stderr)
    }
  })

  it('rows that the model refuses, or answers with no number, are a failure of their own', async () => {
    await folder.write('r.csv', ['age,vip,y', ...Array.from({ length: 40 }, (_, age) => `${age - 2},true,1`)].join('\n'))
    const refused = await gate(
      await regressor(folder, 'refusing', { age: 1 }),
      'datasets: { d: { file: r.csv, label: y } }\nchecks: { metrics: [{ metric: mae, max: 99 }] }',
    )
    assert.deepEqual([refused.code, refused.result('rows').numbers], [1, { rows: 40, refused: 2 }])
    assert.match(refused.result('rows').failing?.[0] ?? '', /^line 2: .*-2 is outside 0 to 100/)
    assert.equal(refused.result('metrics').numbers['rows'], 38)
    await folder.write('n.csv', ['age,vip,y', ...Array.from({ length: 40 }, (_, age) => `${age},true,1`)].join('\n'))
    const none = await gate(
      await regressor(folder, 'rooting', { age: 1, vip: -3, root: true }),
      'datasets: { d: { file: n.csv, label: y } }\nchecks: { metrics: [{ metric: mae, max: 99 }] }',
    )
    assert.deepEqual([none.code, none.result('rows').numbers], [1, { rows: 40, refused: 3 }])
    assert.match(none.result('rows').sentence, /line 2: the answer is null, and no number|line 2: the answer is .*no number/)
  })
})

describe('a model of pictures', () => {
  it('is asked pictures, as base64 in JSON Lines', async () => {
    const pictures = await Promise.all(
      [3, 7, 9].map(async (digit) => ({
        image: (await readFile(join(example('digits'), `digit-${digit}.png`))).toString('base64'),
        digit,
      })),
    )
    await folder.write('digits.jsonl', pictures.map((row) => JSON.stringify(row)).join('\n'))
    const document =
      'datasets: { d: { file: digits.jsonl, label: digit } }\nchecks: { metrics: [{ metric: accuracy, min: 1, minimumSample: 3 }] }'
    const found = await gate(example('digits'), document)
    // The nine is one of the few pictures that the example gets wrong.
    assert.deepEqual([found.code, found.result('metrics').failing], [1, ['line 3: 8 instead of 9']])
  })
})

describe('behaviour', () => {
  it('is found by asking changed rows: what must not matter, and which way answers go', async () => {
    await folder.write('d.csv', AGES)
    const document = `${DATA}checks:
  invariance: [{ set: { vip: true }, within: 0.01 }]
  directional: [{ feature: age, add: 5, expect: increase }]
`
    const fair = await gate(await classifier(folder, 'fair', { age: 0.1, bias: -5 }), document)
    assert.deepEqual([fair.code, fair.result('invariance').numbers['rows'], fair.result('directional').numbers['share']], [0, 50, 1])
    // 95 of the ages can be raised by 5 without leaving the range of the feature.
    assert.deepEqual([fair.result('directional').numbers['rows'], fair.result('directional').numbers['refused']], [96, 4])
    const unfair = await gate(await classifier(folder, 'unfair', { age: -0.1, vip: 2, bias: 5 }), document)
    assert.deepEqual([unfair.code, unfair.result('invariance').verdict, unfair.result('directional').verdict], [1, 'fail', 'fail'])
    assert.equal(unfair.result('invariance').failing?.[0], 'p7', 'younger ones are so sure that it does not show')
  })
})

describe('a regressor', () => {
  it('is compared with another model by the bootstrap, and with a column of earlier predictions', async () => {
    await folder.write(
      'y.csv',
      ['age,vip,y,before', ...Array.from({ length: 80 }, (_, age) => `${age},false,${2 * age + (age % 5)},${2 * age + 9}`)].join('\n'),
    )
    const data = (more = '') => `datasets: { d: { file: y.csv, label: y${more} } }\n`
    const [right, wrong] = [await regressor(folder, 'right', { age: 2 }), await regressor(folder, 'wrong', { age: 3 })]
    const better = await gate(right, data(), ['--against', wrong])
    assert.deepEqual([better.code, better.result('comparisons').verdict, better.result('baseline').verdict], [0, 'pass', 'pass'])
    const worse = await gate(wrong, data(), ['--against', right])
    assert.deepEqual([worse.code, worse.result('comparisons').verdict], [1, 'fail'])
    const column = await gate(right, data(', prediction: before'))
    assert.deepEqual([column.code, column.result('comparisons').numbers['champion']! > 6], [0, true])
    const first = await gate(
      right,
      `${data()}checks: { metrics: [{ metric: mae, change: 0 }, { metric: r2, min: 0.9, change: 0 }], comparisons: [{ test: bootstrap }] }`,
    )
    assert.equal(first.code, 0)
    assert.match(
      first.report.notes[0] ?? '',
      /no champion to compare with, which leaves out: comparison \(bootstrap\), metric \(mae\)|golden/,
    )
    assert.deepEqual(first.report.results.map(({ check }) => check).toSorted(), ['metrics', 'rows'])
  })
})

describe('a model that does not load', () => {
  it('fails by its golden examples', async () => {
    const golden = 'golden:\n  - { name: elders, input: { age: 90, vip: false }, expect: { prediction: no } }\n'
    const failed = await gate(await classifier(folder, 'golden', { age: 1, bias: -49.5, more: golden }), DATA)
    assert.deepEqual([failed.code, failed.result('golden').verdict], [1, 'fail'])
    assert.match(failed.result('golden').sentence, /golden example "elders": prediction is "yes", expected "no"/)
  })
})
