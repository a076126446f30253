// Values that are followed: what is computed of them, and what is done with them, is computed and done again when
// they change, and only then. The interface is a part of @preact/signals; a quarter of its size.

/** Something that reads sources, and hears when one of them may have changed. */
interface Follower {
  /** The sources that it read, with their versions. */
  readonly read: Map<Source, number>;
  hear(): void;
}

interface Source {
  readonly version: number;
  readonly followers: Set<Follower>;
  /** Make sure that the version is that of now. */
  refresh(): void;
}

export interface ReadonlySignal<T> {
  readonly value: T;
  /** The value, without following it. */
  peek(): T;
}

export interface Signal<T> extends ReadonlySignal<T> {
  value: T;
}

let reader: Follower | null = null;
let batches = 0;
const due = new Set<() => void>();

abstract class Value<T> implements Source {
  version = 0;
  readonly followers = new Set<Follower>();

  constructor(protected held: T) {}

  abstract refresh(): void;

  get value(): T {
    const value = this.peek();
    reader?.read.set(this, this.version);
    if (reader !== null) this.followers.add(reader);
    return value;
  }

  peek(): T {
    this.refresh();
    return this.held;
  }

  protected hold(value: T): void {
    if (Object.is(value, this.held) && this.version > 0) return;
    this.held = value;
    this.version++;
  }
}

class Written<T> extends Value<T> {
  override version = 1;

  refresh(): void {}

  override get value(): T {
    return super.value;
  }

  override set value(value: T) {
    const before = this.version;
    this.hold(value);
    if (this.version !== before) batch(() => tell(this.followers));
  }
}

class Computed<T> extends Value<T | undefined> implements Follower {
  readonly read = new Map<Source, number>();
  private stale = true;

  constructor(private readonly compute: () => T) {
    super(undefined);
  }

  refresh(): void {
    if (this.stale && (this.version === 0 || changed(this))) {
      const end = begin(this);
      try {
        this.hold(this.compute());
      } finally {
        end();
      }
    }
    this.stale = false;
  }

  hear(): void {
    if (this.stale) return;
    this.stale = true;
    tell(this.followers);
  }
}

/** Whoever follows is told once, and follows again when it reads again: so nobody is kept who is not used. */
function tell(followers: Set<Follower>): void {
  const told = [...followers];
  followers.clear();
  for (const follower of told) follower.hear();
}

/** Whether something of what a follower read has another value now. If not, it goes on following. */
function changed(follower: Follower): boolean {
  for (const [source, version] of follower.read) {
    source.refresh();
    if (source.version !== version) return true;
    source.followers.add(follower);
  }
  return false;
}

/** From now on the follower reads; the answer ends it. */
function begin(follower: Follower): () => void {
  const before = reader;
  leave(follower);
  reader = follower;
  return () => {
    reader = before;
  };
}

function leave(follower: Follower): void {
  for (const source of follower.read.keys()) source.followers.delete(follower);
  follower.read.clear();
}

export function signal<T>(value: T): Signal<T> {
  return new Written(value);
}

export function computed<T>(compute: () => T): ReadonlySignal<T> {
  return new Computed(compute) as ReadonlySignal<T>;
}

/** Change several values, and let what follows from them be done once. */
export function batch(change: () => void): void {
  batches++;
  try {
    change();
  } finally {
    if (--batches === 0) flush();
  }
}

/** One after the other; what is done may change values, and what follows from that comes after it. */
function flush(): void {
  const [act] = due;
  if (act === undefined) return;
  due.delete(act);
  batches++;
  try {
    act();
  } finally {
    batches--;
    flush();
  }
}

/** Follows what is read within `track`, and calls `hear` once when that has changed. */
export class Tracker implements Follower {
  readonly read = new Map<Source, number>();
  private readonly act = () => {
    if (changed(this)) this.changed();
  };

  constructor(private readonly changed: () => void) {}

  /** Begin to note what is read; the answer ends it. */
  start(): () => void {
    return begin(this);
  }

  hear(): void {
    due.add(this.act);
  }

  dispose(): void {
    due.delete(this.act);
    leave(this);
  }
}

/** Do it now, and again when what it read has changed. The answer ends this. */
export function effect(act: () => void): () => void {
  const run = () => {
    const end = tracker.start();
    try {
      act();
    } finally {
      end();
    }
  };
  const tracker = new Tracker(run);
  batch(run);
  return () => tracker.dispose();
}
