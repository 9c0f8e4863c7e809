// From a host to its virtual host in Envoy's order: exact domain, longest `*suffix`, longest `prefix*`, `*`. The cost does not
// depend on the number of domains: one hash for exact names, one walk over the characters for each kind of wildcard.

class Node<T> {
  children: Map<number, Node<T>> | undefined = undefined;
  value: T | undefined = undefined;
}

export class DomainIndex<T> {
  readonly #exact = new Map<string, T>();
  /** Suffixes, read from the end of the host. */
  readonly #suffixes = new Node<T>();
  readonly #prefixes = new Node<T>();
  #hasSuffixes = false;
  #hasPrefixes = false;
  #any: T | undefined = undefined;

  /** `domain` is in lower case. False: it is there already. */
  add(domain: string, value: T): boolean {
    if (domain === '*') {
      if (this.#any !== undefined) return false;
      this.#any = value;
      return true;
    }
    if (domain.startsWith('*')) {
      this.#hasSuffixes = true;
      return insert(this.#suffixes, reversed(domain.slice(1)), value);
    }
    if (domain.endsWith('*')) {
      this.#hasPrefixes = true;
      return insert(this.#prefixes, domain.slice(0, -1), value);
    }
    if (this.#exact.has(domain)) return false;
    this.#exact.set(domain, value);
    return true;
  }

  /** Every host is the same to it. */
  get hasOnlyAny(): boolean {
    return this.#exact.size === 0 && !this.#hasSuffixes && !this.#hasPrefixes;
  }

  /** `host` is in lower case. */
  find(host: string): T | undefined {
    let found = this.#exact.get(host);
    if (found === undefined && this.#hasSuffixes) found = longest(this.#suffixes, host, true);
    if (found === undefined && this.#hasPrefixes) found = longest(this.#prefixes, host, false);
    return found ?? this.#any;
  }
}

function insert<T>(root: Node<T>, text: string, value: T): boolean {
  let node = root;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    node.children ??= new Map();
    let child = node.children.get(code);
    if (child === undefined) {
      child = new Node<T>();
      node.children.set(code, child);
    }
    node = child;
  }
  if (node.value !== undefined) return false;
  node.value = value;
  return true;
}

function reversed(text: string): string {
  return [...text].reverse().join('');
}

/** The wildcard stands for at least one character: `*.example.com` is not `.example.com`. */
function longest<T>(root: Node<T>, host: string, fromEnd: boolean): T | undefined {
  let node: Node<T> | undefined = root;
  let best: T | undefined;
  for (let i = 0; i < host.length; i++) {
    if (node.value !== undefined) best = node.value;
    node = node.children?.get(host.charCodeAt(fromEnd ? host.length - 1 - i : i));
    if (node === undefined) return best;
  }
  return best;
}
