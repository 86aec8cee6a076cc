"""The schema, as numbered steps that are never edited once released; a change is a new step at the end.

Times are UTC, ISO 8601 with milliseconds, so that text order is time order.
"""

from __future__ import annotations

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

migrations = Migrations("hippo")


@migrations()
def m001_users_and_facts(db: Database) -> None:
    db.execute("""create table users (
        id text primary key, timezone text not null default 'UTC', assistant_name text not null,
        settings text not null default '{}', created text not null)""")
    db.execute("""create table identities (
        platform text not null, platform_user_id text not null,
        user_id text not null references users(id) on delete cascade,
        primary key (platform, platform_user_id))""")
    db.execute("create index identities_user on identities(user_id)")
    db.execute("""create table facts (
        id integer primary key autoincrement, user_id text not null references users(id) on delete cascade,
        text text not null, subject text not null, attribute text not null, value text not null,
        status text not null check (status in ('active', 'superseded', 'forgotten')),
        superseded_by integer references facts(id) on delete set null, created text not null)""")
    db.execute("create unique index facts_once on facts(user_id, text) where status = 'active'")
    db.execute("create index facts_user on facts(user_id, status)")
    db.execute("create index facts_superseded_by on facts(superseded_by)")


@migrations()
def m002_adapters_and_jobs(db: Database) -> None:
    db.execute("""create table adapters (
        id integer primary key autoincrement, user_id text not null references users(id) on delete cascade,
        version integer not null, name text not null unique, base_model text not null,
        fact_ids text not null, facts_hash text not null, scores text not null default '{}',
        bytes integer not null default 0,
        status text not null check (status in ('candidate', 'live', 'retired', 'rejected')),
        created text not null, ended text, unique (user_id, version))""")
    db.execute("create unique index adapters_one_live on adapters(user_id) where status = 'live'")
    db.execute("""create table jobs (
        id integer primary key autoincrement, user_id text not null references users(id) on delete cascade,
        reason text not null check (reason in ('retrain', 'nightly')),
        state text not null check (state in ('queued', 'running', 'done', 'rejected', 'failed')),
        stage text not null default 'queued', share real not null default 0, seconds_left real,
        attempts integer not null default 0, worker text, lease_until text,
        result text not null default '{}', error text not null default '',
        created text not null, updated text not null)""")
    db.execute("create unique index jobs_one_open on jobs(user_id) where state in ('queued', 'running')")
    db.execute("create index jobs_state on jobs(state, id)")
    db.execute("create table nights (due text primary key, started text not null, users integer not null)")


@migrations()
def m003_ledger_and_turns(db: Database) -> None:
    db.execute("""create table ledger (
        id integer primary key autoincrement, user_id text references users(id) on delete set null,
        job_id integer references jobs(id) on delete set null,
        kind text not null check (kind in ('training', 'serving')),
        device text not null, seconds real not null, tokens integer not null, rate_usd_per_hour real not null,
        cost_usd real not null, created text not null)""")
    db.execute("create index ledger_user on ledger(user_id)")
    db.execute("create index ledger_job on ledger(job_id)")
    db.execute("""create table turns (
        id integer primary key autoincrement, user_id text not null references users(id) on delete cascade,
        role text not null check (role in ('user', 'assistant')), content text not null,
        state text not null check (state in ('said', 'waiting')), source_key text unique,
        created text not null, expires text not null)""")
    db.execute("create index turns_user on turns(user_id, id)")
    db.execute("create index turns_waiting on turns(state) where state = 'waiting'")


@migrations()
def m004_platforms(db: Database) -> None:
    # where to write to a person on that platform, and the newest of their messages taken in there
    db.execute("alter table identities add column place text")
    db.execute("alter table identities add column cursor text not null default ''")
    db.execute("alter table identities add column seen text not null default ''")
    # a platform's update, by its id: payload while it waits to be handled, null afterwards
    db.execute("""create table inbox (
        key text primary key, platform text not null, payload text, created text not null, expires text not null)""")
    db.execute("create index inbox_waiting on inbox(platform) where payload is not null")
    db.execute("create index inbox_expires on inbox(expires)")
    db.execute("""create table offers (
        id integer primary key autoincrement, user_id text not null references users(id) on delete cascade,
        kind text not null check (kind in ('question', 'awaited', 'passing', 'batch')), payload text not null,
        created text not null, expires text not null)""")
    db.execute("create unique index offers_expected on offers(user_id) where kind in ('question', 'awaited')")
    db.execute("create index offers_user on offers(user_id)")
    db.execute("create index offers_expires on offers(expires)")
    db.execute("""create table link_codes (
        code_hash text primary key, user_id text not null unique references users(id) on delete cascade,
        created text not null, expires text not null)""")
    db.execute("""create table job_messages (
        id integer primary key autoincrement, user_id text not null references users(id) on delete cascade,
        job_id integer not null references jobs(id) on delete cascade, platform text not null,
        place text not null, message text not null, created text not null)""")
    db.execute("create index job_messages_user on job_messages(user_id)")
    db.execute("create index job_messages_job on job_messages(job_id)")
    db.execute("create index jobs_user on jobs(user_id, id)")
    db.execute("create index ledger_created on ledger(created)")
    db.execute("create index turns_expires on turns(expires) where state = 'said'")


@migrations()
def m005_sums_of_the_ledger(db: Database) -> None:
    # kept by the triggers, so that /cost adds up days and not every entry of a month
    db.execute("""create table ledger_days (
        day text not null, kind text not null, entries integer not null, seconds real not null, tokens integer not null,
        cost_usd real not null, primary key (day, kind)) without rowid""")
    db.execute("""create table ledger_users (
        user_id text not null references users(id) on delete cascade, kind text not null, latest text not null,
        primary key (user_id, kind)) without rowid""")
    db.execute("create index ledger_users_latest on ledger_users(kind, latest)")
    db.execute("""insert into ledger_days
        select substr(created, 1, 10), kind, count(*), sum(seconds), sum(tokens), sum(cost_usd)
        from ledger group by 1, 2""")
    db.execute("""insert into ledger_users
        select user_id, kind, max(created) from ledger where user_id is not null group by 1, 2""")
    latest = """insert into ledger_users values (new.user_id, new.kind, new.created)
        on conflict do update set latest = max(latest, excluded.latest)"""
    db.execute("""create trigger ledger_added after insert on ledger begin
        insert into ledger_days
          values (substr(new.created, 1, 10), new.kind, 1, new.seconds, new.tokens, new.cost_usd)
          on conflict do update set entries = entries + 1, seconds = seconds + excluded.seconds,
            tokens = tokens + excluded.tokens, cost_usd = cost_usd + excluded.cost_usd;
        end""")
    db.execute(f"""create trigger ledger_added_of_user after insert on ledger when new.user_id is not null begin
        {latest};
        end""")
    db.execute(f"""create trigger ledger_moved after update of user_id on ledger when new.user_id is not null begin
        {latest};
        end""")
