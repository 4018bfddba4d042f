/** Anything that went wrong, with a message for people. */
export class PocketlmError extends Error {
  /** Whether the library itself failed: the instance refuses all further calls, and `load` makes another one. */
  readonly isFault: boolean;
}

/** A word and its probability: of all words, or of those that begin with what is typed. */
export interface Suggestion {
  word: string;
  probability: number;
}

/** A word to tap. */
export interface Offer extends Suggestion {
  /** Whether it is a word of the user that the model lacks. */
  isOwn: boolean;
}

/** What a keyboard shows above its keys. */
export interface Strip {
  /** The beginning of the word that is being typed: a tapped word takes its place. */
  typed: string;
  /** Words to tap, best first. */
  words: Offer[];
  /** What the typed form was surely meant to be, or null: a space puts it in its place. */
  correction: Suggestion | null;
}

/** What a mistyped word may have been meant to be. */
export interface Corrections {
  /** The probability that it was meant as it is. */
  asTyped: number;
  /** Other words, likeliest first. */
  words: Suggestion[];
}

/** How likely a text is. */
export interface Score {
  /** Tokens, with the end of each line. */
  tokens: number;
  /** Of these, how many the model lacks. */
  unknown: number;
  /** Negative log-likelihood in nats. */
  nll: number;
}

/** How a model cuts text. */
export type Unit = 'word' | 'character' | 'subword' | 'raw' | 'raw-keep' | 'raw-fold';

/** Where the letters of a keyboard are. */
export type Layout = 'qwerty' | 'qwertz' | 'azerty';

/** Starts the library. Without a source, the module beside this file. */
export function load(source?: string | URL | BufferSource | WebAssembly.Module): Promise<Pocketlm>;

/** The library, started. */
export class Pocketlm {
  /** Opens a packed model (the bytes of a `.plm` file, which are copied). */
  open(bytes: ArrayBuffer | ArrayBufferView): Model;
  /** Bytes of memory that the library holds. */
  readonly memory: number;
}

/** An open model. */
export class Model {
  /** Words, or other types, in the vocabulary. */
  readonly types: number;
  readonly unit: Unit;
  /** Whether it writes running text, with capitals and marks. */
  readonly isRaw: boolean;
  /** The checksum that the file holds of itself. */
  readonly checksum: number;
  /** Reads the whole model: throws if it is damaged. */
  verify(): void;
  session(): Session;
  keyboard(): Keyboard;
  /** Gives its memory back, once all sessions and keyboards of it are closed. */
  close(): void;
}

/** A model in use: one text, from its beginning to where it has got. */
export class Session {
  reset(): void;
  /** Feeds a text; returns how many of its words the model lacks. */
  feed(text: string): number;
  /** The likeliest words after what was fed that begin with a prefix. */
  suggest(count?: number, prefix?: string): Suggestion[];
  /** Completes a text from its beginning, whose last word is being typed. */
  complete(text: string, count?: number): Suggestion[];
  /** What a word after what was fed may have been meant to be. */
  correct(typed: string, count?: number): Corrections;
  /** Scores a whole text, with the end of its last line. */
  score(text: string): Score;
  /** The log-probability in nats that a word comes next. */
  logProbability(word: string): number;
  close(): void;
}

/** A model beside its user's words. */
export class Keyboard {
  /** The strip for all that stands before the cursor. */
  strip(text: string, count?: number): Strip;
  /** Learns a text that is done, unless it is private. */
  learn(text: string): void;
  /** Adds a word to suggest; false if it can be none. */
  add(word: string): boolean;
  /** Forgets a word; false if it was not known. */
  forget(word: string): boolean;
  /** Never offers a word from now on; false if it can be none. */
  block(word: string): boolean;
  /** Lets a blocked word be offered again; false if it was not blocked. */
  unblock(word: string): boolean;
  /** Forgets everything, blocked words too. */
  erase(): void;
  /** The user's words that may be suggested and that the model lacks. */
  readonly words: string[];
  readonly blocked: string[];
  /** Whether nothing is learnt. */
  isPrivate: boolean;
  /** Where the keys are, which says what slips are likely. */
  layout: Layout;
  /** The user's words as JSON lines, to be kept. */
  export(): string;
  /** Takes the user's words from what `export` gave; throws if that is damaged, and keeps those that there are. */
  import(lines: string): void;
  close(): void;
}
