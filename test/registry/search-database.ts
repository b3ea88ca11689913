import { DatabaseSync } from 'node:sqlite'
import type { SQLInputValue } from 'node:sqlite'
import { Kysely, SqliteDialect } from 'kysely'
import type { SqliteDatabase } from 'kysely'
import { registry } from '../../src/storage/sql/migrations/registry.ts'
import type { Schema } from '../../src/storage/sql/schema.ts'

/** A database with empty tables of the registry. */
export interface SearchDatabase extends AsyncDisposable {
  readonly dialect: 'sqlite' | 'postgres'
  readonly tables: Kysely<Schema>
}

/** In memory, in this thread. */
export function openSqlite(): SearchDatabase {
  const database = new DatabaseSync(':memory:')
  for (const statement of registry.statements) database.exec(statement)
  const adapter: SqliteDatabase = {
    close: () => database.close(),
    prepare(sql) {
      const statement = database.prepare(sql)
      const given = (parameters: readonly unknown[]): SQLInputValue[] => parameters as SQLInputValue[]
      return {
        reader: statement.columns().length > 0,
        all: (parameters) => statement.all(...given(parameters)),
        run: (parameters) => statement.run(...given(parameters)),
        iterate: (parameters) => statement.iterate(...given(parameters)),
      }
    },
  }
  const tables = new Kysely<Schema>({ dialect: new SqliteDialect({ database: adapter }) })
  return { dialect: 'sqlite', tables, [Symbol.asyncDispose]: () => tables.destroy() }
}
