"""The place to drop a photograph on: it reads the file in the browser and sends it as text, so that no file is kept."""

from __future__ import annotations

from typing import Any

from anychan.serve.photograph import MOST_BYTES

_HTML = """
<label class="drop"><input type="file" accept="image/*" aria-label="Photograph">
<span>Drop a photograph here, or tap to choose one</span>
<small>at most 20 MB and 25 megapixels; it does not leave this machine and is not kept</small></label>
<p class="drop-said" role="status"></p>
"""
_CSS = """
.drop { display: grid; gap: .25rem; padding: 1.5rem 1rem; border: 2px dashed var(--border-color-primary);
        border-radius: .5rem; text-align: center; cursor: pointer; }
.drop.over, .drop:focus-within { border-color: var(--color-accent); }
.drop input { position: absolute; width: 1px; height: 1px; opacity: 0; }
.drop small { opacity: .75; }
.drop-said:empty { display: none; }
"""
# Listeners are on the element, which stays when what is in it is drawn again.
_JS = """
const say = (words) => { element.querySelector('.drop-said').textContent = words; };
const take = (file) => {
  if (!file) return;
  if (file.size > MOST_BYTES) { say('The file has more than 20 MB.'); return; }
  say('');
  const reader = new FileReader();
  reader.onerror = () => say('The file cannot be read.');
  reader.onload = () => {
    props.value = reader.result.slice(reader.result.indexOf(',') + 1);
    trigger('upload');
  };
  reader.readAsDataURL(file);
};
const mark = (over) => element.querySelector('.drop').classList.toggle('over', over);
element.addEventListener('change', (event) => { take(event.target.files[0]); event.target.value = ''; });
element.addEventListener('dragover', (event) => { event.preventDefault(); mark(true); });
element.addEventListener('dragleave', () => mark(false));
element.addEventListener('drop', (event) => {
  event.preventDefault();
  mark(false);
  take(event.dataTransfer.files[0]);
});
""".replace("MOST_BYTES", str(MOST_BYTES))


def drop_zone() -> Any:
    """A Gradio component whose value is the file in base64, and whose event is ``upload``."""
    import gradio

    return gradio.HTML(value="", html_template=_HTML, css_template=_CSS, js_on_load=_JS, elem_id="drop")
