// Lists of cipher suites in BoringSSL's language, for versions before TLS 1.3: names and words for several, `[A|B]` of equal preference,
// `-X`, `!X`, `+X` and `@STRENGTH` upon what was named before.

interface Suite {
  readonly name: string;
  readonly standardName: string;
  readonly words: ReadonlySet<string>;
  readonly bits: number;
  /** A word for several does not mean it. */
  readonly isOld: boolean;
}

/** In BoringSSL's order on machines with AES instructions. Keys: key exchange, authentication, encryption, digest. */
const suites: readonly Suite[] = [
  'ECDHE-ECDSA-AES128-GCM-SHA256',
  'ECDHE-RSA-AES128-GCM-SHA256',
  'ECDHE-ECDSA-AES256-GCM-SHA384',
  'ECDHE-RSA-AES256-GCM-SHA384',
  'ECDHE-ECDSA-CHACHA20-POLY1305',
  'ECDHE-RSA-CHACHA20-POLY1305',
  'ECDHE-PSK-CHACHA20-POLY1305',
  'ECDHE-ECDSA-AES128-SHA',
  'ECDHE-RSA-AES128-SHA',
  'ECDHE-PSK-AES128-CBC-SHA',
  'ECDHE-ECDSA-AES256-SHA',
  'ECDHE-RSA-AES256-SHA',
  'ECDHE-PSK-AES256-CBC-SHA',
  'ECDHE-ECDSA-AES128-SHA256',
  'ECDHE-RSA-AES128-SHA256',
  'AES128-GCM-SHA256',
  'AES256-GCM-SHA384',
  'AES128-SHA',
  'PSK-AES128-CBC-SHA',
  'AES256-SHA',
  'PSK-AES256-CBC-SHA',
  'DES-CBC3-SHA',
].map(suiteOf);

function suiteOf(name: string): Suite {
  const isEcdhe = name.startsWith('ECDHE-');
  const isPsk = name.includes('PSK');
  const words = ['ALL', 'DEFAULT', 'FIPS'];
  words.push(...(isEcdhe ? ['kECDHE', 'kEECDH', 'ECDHE', 'EECDH'] : isPsk ? ['kPSK'] : ['kRSA', 'RSA']));
  words.push(...(name.includes('ECDSA') ? ['aECDSA', 'ECDSA'] : isPsk ? ['aPSK'] : ['aRSA', 'RSA']));
  if (isPsk) words.push('PSK');
  const bits = name.includes('128') ? 128 : name.includes('DES') ? 112 : 256;
  const isAead = /GCM|CHACHA20/.test(name);
  const cipher = name.includes('CHACHA20') ? 'CHACHA20' : name.includes('DES') ? '3DES' : `AES${bits}`;
  words.push(cipher);
  if (cipher.startsWith('AES')) words.push('AES', ...(isAead ? ['AESGCM'] : []));
  if (/-SHA$/.test(name)) words.push('SHA1', 'SHA');
  if (bits > 112) words.push('HIGH');
  words.push(...(isAead || name.endsWith('SHA256') ? ['TLSv1.2'] : ['SSLv3', 'TLSv1']));
  const key = isEcdhe
    ? `ECDHE_${isPsk ? 'PSK' : name.includes('ECDSA') ? 'ECDSA' : 'RSA'}`
    : isPsk
      ? 'PSK'
      : 'RSA';
  const form =
    cipher === 'CHACHA20'
      ? 'CHACHA20_POLY1305_SHA256'
      : cipher === '3DES'
        ? '3DES_EDE_CBC_SHA'
        : `AES_${bits}_${isAead ? 'GCM' : 'CBC'}_${/SHA\d*$/.exec(name)![0]}`;
  return {
    name,
    standardName: `TLS_${key}_WITH_${form}`,
    words: new Set(words),
    bits,
    isOld: cipher === '3DES' || /AES128-SHA256$/.test(name),
  };
}

export const cipherNames: readonly string[] = suites.map((it) => it.name);

/** What BoringSSL understands as a list has so many groups of equal preference, of one suite each for the most part; else undefined. */
export function cipherGroups(list: string): readonly (readonly string[])[] | undefined {
  let known: Suite[] = [...suites];
  let active: Suite[] = [];
  /** Those that the next one in order is equal to. */
  const joined = new Set<Suite>();
  let group: Suite[] | undefined;
  let hasGroup = false;
  for (const token of list.match(/[[\]|]|[^[\]|:;, ]+/g) ?? []) {
    if (token === '[') {
      if (group !== undefined) return undefined;
      group = [];
      hasGroup = true;
      continue;
    }
    if (token === '|' || token === ']') {
      if (group === undefined) return undefined;
      if (token === '|') continue;
      for (const it of group.slice(0, -1)) joined.add(it);
      group = undefined;
      continue;
    }
    const operator = /^[-+!@]/.exec(token)?.[0] ?? '';
    const word = token.slice(operator.length);
    if (operator !== '' && hasGroup) return undefined;
    if (operator === '@') {
      if (word !== 'STRENGTH') return undefined;
      active = active.toSorted((a, b) => b.bits - a.bits);
      continue;
    }
    const matches = meaning(word);
    if (matches === undefined) return undefined;
    const kept = active.filter((it) => !matches.has(it));
    if (operator === '') {
      // Those taken away come back in their order of before.
      const added = known.filter((it) => matches.has(it) && !active.includes(it));
      active = [...active, ...added];
      group?.push(...added);
    } else if (operator === '+') active = [...kept, ...active.filter((it) => matches.has(it))];
    else {
      const rest = known.filter((it) => !matches.has(it));
      known = operator === '!' ? rest : [...known.filter((it) => matches.has(it)), ...rest];
      active = kept;
    }
  }
  if (group !== undefined || active.length === 0) return undefined;
  const groups: string[][] = [];
  let isOpen = false;
  for (const it of active) {
    if (isOpen) groups.at(-1)!.push(it.name);
    else groups.push([it.name]);
    isOpen = joined.has(it);
  }
  return groups;
}

function meaning(word: string): ReadonlySet<Suite> | undefined {
  const named = suites.find((it) => it.name === word || it.standardName === word);
  if (named !== undefined) return new Set([named]);
  const parts = word.split('+');
  if (!parts.every((part) => suites.some((it) => it.words.has(part)))) return undefined;
  const takesOld = parts.includes('3DES');
  return new Set(suites.filter((it) => (takesOld || !it.isOld) && parts.every((part) => it.words.has(part))));
}
