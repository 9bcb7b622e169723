"""
How the page looks: one style sheet in the page itself, and the policy that lets it in by its hash.

Laws: colors stand once for light and once for dark; text has a contrast of 4.5 at least, which a
test computes. No script, no font, no image from anywhere but the icon in the page.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--ground:#f6f7f9;--card:#fff;--ink:#161a1f;--muted:#5a6470;
--edge:#e2e6ea;--blue:#1f62b4;--ok:#2f7fd0;--good:#1c7a45;--warn:#94580a;--bad:#bf2f26;
--teal:#12808a;--violet:#7a4fc0}
@media(prefers-color-scheme:dark){:root{--ground:#0f1317;--card:#171c22;--ink:#e7eaee;
--muted:#98a3af;--edge:#2a323b;--blue:#7ab4f5;--ok:#4f9be8;--good:#5cc98b;--warn:#e5aa4c;
--bad:#f58077;--teal:#45bcc6;--violet:#b394ee}}
*{box-sizing:border-box}
body{margin:0;background:var(--ground);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif;
font-variant-numeric:tabular-nums;-webkit-text-size-adjust:100%}
a{color:var(--blue);text-underline-offset:.15em}
:focus-visible{outline:2px solid var(--blue);outline-offset:2px;border-radius:4px}
.skip{position:absolute;left:-99rem}.skip:focus{left:1rem;top:1rem;background:var(--card);z-index:1}
.unseen{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
header,main{max-width:74rem;margin:auto;padding:0 1.25rem}
header{display:flex;flex-wrap:wrap;align-items:center;gap:.25rem 1rem;padding-top:1rem}
header .mark{font-weight:700;font-size:1.1rem;letter-spacing:-.01em;color:inherit;
text-decoration:none;display:flex;gap:.5rem;align-items:center}
.mark::before{content:"";width:.55rem;height:1.1rem;border-radius:2px;background:var(--ok)}
header .node{font-weight:600;overflow-wrap:anywhere}
nav{max-width:74rem;margin:.6rem auto 0;padding:0 1.25rem}
nav ul{list-style:none;display:flex;flex-wrap:wrap;gap:.1rem 1.1rem;margin:0;padding:0;
font-size:.875rem}
nav a{text-decoration:none}nav a:hover{text-decoration:underline}
header .on{margin-left:auto;display:flex;gap:1rem;align-items:center;color:var(--muted)}
h1,h2,h3{line-height:1.25;margin:0;letter-spacing:-.01em}
h1{font-size:1.5rem}h2{font-size:1.05rem}h3{font-size:.8125rem;font-weight:600;color:var(--muted)}
h3{letter-spacing:0}
p{margin:.5rem 0}
small,.muted{color:var(--muted);font-size:.8125rem}
.state{margin:1.1rem 0 1rem;display:flex;flex-wrap:wrap;align-items:baseline;gap:.2rem 1rem}
.state p{margin:0}
.tag{display:inline-flex;align-items:center;gap:.4em;white-space:nowrap}
.tag::before{content:"";flex:none;width:.55em;height:.55em;border-radius:50%;background:currentColor}
.tag.warn::before{border-radius:0;transform:rotate(45deg)}.tag.bad::before{border-radius:1px}
.good{color:var(--good)}.warn{color:var(--warn)}.bad{color:var(--bad)}.off{color:var(--muted)}
.card{background:var(--card);border:1px solid var(--edge);border-radius:10px;margin:0}
dl.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));margin:0 0 1rem}
dl.figures{overflow:hidden}
.figures div{padding:.8rem 1rem;box-shadow:-1px -1px 0 0 var(--edge)}
dt{color:var(--muted);font-size:.8125rem}dd{margin:0;overflow-wrap:anywhere}
.figures dd{font-size:1.4rem;font-weight:600;letter-spacing:-.02em;line-height:1.3}
.figures dd small{display:block;font-weight:400;letter-spacing:0;line-height:1.4}
.charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:1rem}
figure.card{padding:.9rem 1rem .5rem}
figcaption{display:flex;flex-wrap:wrap;justify-content:space-between;gap:.1rem 1rem}
.key{list-style:none;display:flex;flex-wrap:wrap;gap:0 .9rem;margin:0;padding:0;
font-size:.8125rem;color:var(--muted)}
.key b{color:var(--ink);font-weight:600}
.key i{display:inline-block;width:.6em;height:.6em;border-radius:2px;margin-right:.4em;
background:var(--c)}
.ok{--c:var(--ok)}i.warn,path.warn{--c:var(--warn)}i.bad,path.bad{--c:var(--bad)}
.teal{--c:var(--teal)}.violet{--c:var(--violet)}
.plot{margin-top:.25rem}
.plot svg{display:block;width:100%;height:6.5rem;overflow:visible}
.top{display:block;font-size:.75rem;line-height:1.5;min-height:1.5em;color:var(--muted)}
path{fill:var(--c);vector-effect:non-scaling-stroke}
path.grid{stroke:var(--edge);fill:none}
path.line{fill:none;stroke:var(--c);stroke-width:1.6px;stroke-linejoin:round}
.axis{display:flex;justify-content:space-between;font-size:.75rem;color:var(--muted);
padding-top:.25rem}
details{font-size:.8125rem;margin-top:.1rem}summary{color:var(--muted);cursor:pointer;
width:max-content;padding:.2rem 0}
section{margin:1.75rem 0}
.head{display:flex;flex-wrap:wrap;align-items:center;gap:.4rem 1rem;margin-bottom:.6rem}
.head form{margin-left:auto}
.wide{overflow-x:auto;background:var(--card);border:1px solid var(--edge);border-radius:10px}
table{border-collapse:collapse;width:100%;font-size:.875rem}
th,td{padding:.5rem 1rem;text-align:left;vertical-align:baseline;border-top:1px solid var(--edge)}
thead th{border-top:0;color:var(--muted);font-weight:500;font-size:.8125rem;white-space:nowrap}
tbody th{font-weight:600}
td.n,th.n{text-align:right;white-space:nowrap}
time{white-space:nowrap}
code,.code{font:.8125rem/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace}
code{overflow-wrap:anywhere}
td bdi,th bdi{overflow-wrap:anywhere}
details table{margin-bottom:.4rem}
details th,details td{padding:.2rem 0;font-weight:400;text-align:right}
details th:first-child{text-align:left}
.spark{display:inline-block;vertical-align:middle;width:6.5rem;height:1.25rem;overflow:visible}
.none{padding:.9rem 1rem;margin:0;color:var(--muted)}
label{display:block;font-size:.8125rem;color:var(--muted);margin-bottom:.2rem}
input,select,button{font:inherit;color:inherit;min-height:2.4rem;border-radius:7px;
border:1px solid var(--line,#8a939d);background:var(--card);padding:.3rem .7rem;max-width:100%}
button{background:var(--button,#1f62b4);border-color:transparent;color:#fff;font-weight:600;
cursor:pointer;padding:.3rem 1rem}
button.plain{background:none;color:var(--blue);font-weight:400;text-decoration:underline;
text-underline-offset:.15em;padding:0;min-height:0}
form.row{display:flex;flex-wrap:wrap;gap:.6rem;align-items:end}
form.row .grow{flex:1 1 16rem}form.row .grow input{width:100%}
form.find{display:flex;gap:.5rem}form.find input{width:11rem}
.ask{padding:1rem}
.login{max-width:24rem;margin:14vh auto 0;padding:0 1.25rem}
.login form{padding:1.4rem}.login input{width:100%;margin-bottom:1rem}.login button{width:100%}
.login h1{margin-bottom:1rem}
.told{margin:0 0 1rem;padding:.6rem .8rem;border-left:3px solid var(--bad);background:var(--ground)}
ol.steps{margin:0;padding:1rem 1rem 1rem 2.6rem}ol.steps li{overflow-wrap:anywhere}
dl.facts{display:grid;grid-template-columns:max-content 1fr;gap:.35rem 1.25rem;margin:0;
padding:1rem}
footer{max-width:74rem;margin:0 auto;padding:.5rem 1.25rem 2rem}
@media(max-width:40rem){body{font-size:16px}header .on{margin-left:0;width:100%}
main,header,nav{padding-left:.9rem;padding-right:.9rem}
.figures{grid-template-columns:1fr 1fr!important}
.cards thead{display:none}
.cards tr{display:grid;grid-template-columns:1fr 1fr;gap:.3rem 1rem;padding:.75rem 1rem;
border-top:1px solid var(--edge)}
.cards tr:first-child{border-top:0}
.cards tbody th,.cards td{display:block;border:0;padding:0;text-align:left;white-space:normal;
min-width:0}
.cards tbody th,.cards td:last-child:not(.n){grid-column:1/-1}
.cards tbody th{font-size:.9375rem}
.cards td::before{content:attr(data-h);display:block;color:var(--muted);font-size:.75rem;
line-height:1.3}
.cards td:empty{display:none}
.head form{margin-left:0;width:100%}form.find input{flex:1;width:auto}
form.row>*{flex:1 1 100%}form.row select,form.row input{width:100%}
dl.facts{grid-template-columns:1fr;gap:0}.facts dd{margin-bottom:.5rem}}
"""

ICON: Final = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E"
    "%3Crect x='5' y='1' width='6' height='14' rx='1.5' fill='%232f7fd0'/%3E%3C/svg%3E"
)


def hash_of(text: str) -> str:
    """What a policy knows an inline style by."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        f"style-src {hash_of(STYLE)}",
        "img-src data:",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

FIELDS: Final[Mapping[str, str]] = {
    "Content-Security-Policy": POLICY,
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",  # `no-referrer` makes the Origin of our own forms null
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
"""What every page is sent with."""
