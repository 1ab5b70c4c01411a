/** A text of the model: Markdown, block by block, each made once. */
import { type FunctionComponent } from "preact";
import { memo } from "preact/compat";
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { CopyButton } from "./parts.tsx";
import { Blocks, type Block, blocksOf, harmless, html } from "./markdown.ts";

const MOST_HIGHLIGHTED = 30_000; // characters of one block of code
let highlighter: typeof import("./highlight.ts") | null = null;

export const Prose: FunctionComponent<{ text: string; open: boolean }> = ({ text, open }) => {
  const growing = useRef<Blocks | null>(null);
  growing.current ??= new Blocks();
  const blocks = useMemo(() => (open ? growing.current?.of(text) : blocksOf(text)) ?? [], [text, open]);
  return (
    <div class="prose">
      {blocks.map((block, place) =>
        block.kind === "code" ? (
          <Code key={place} code={block.code} language={block.language} settled={block.closed || !open} />
        ) : (
          <Text key={place} raw={block.raw} />
        ),
      )}
    </div>
  );
};

const Text = memo(({ raw }: { raw: Block["raw"] }) => (
  <div dangerouslySetInnerHTML={{ __html: html(raw) as unknown as string }} />
));

const Code = memo(({ code, language, settled }: { code: string; language: string; settled: boolean }) => {
  const [loaded, setLoaded] = useState(highlighter !== null);
  useEffect(() => {
    if (!loaded) void load().then(() => setLoaded(true));
  }, [loaded]);
  const coloured = useMemo(
    () => (loaded && settled && code.length <= MOST_HIGHLIGHTED ? highlighter?.highlighted(code, language) : null),
    [code, language, settled, loaded],
  );
  return (
    <figure class="code">
      <figcaption>
        <span>{language || "text"}</span>
        <CopyButton text={code} label="Copy code" />
      </figcaption>
      <pre tabindex={0}>
        {coloured ? (
          <code dangerouslySetInnerHTML={{ __html: harmless(coloured) as unknown as string }} />
        ) : (
          <code>{code}</code>
        )}
      </pre>
    </figure>
  );
});

async function load(): Promise<void> {
  highlighter ??= await import("./highlight.ts");
}
