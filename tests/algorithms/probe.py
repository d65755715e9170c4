import sys, time
import importlib
from matrix.record import compare
fam=getattr(importlib.import_module("matrix."+sys.argv[1]), sys.argv[1].upper())
heavy = len(sys.argv)>2 and sys.argv[2]=="heavy"
only = sys.argv[3:] 
T=time.time()
for c,t in fam.table.items():
    for n in t:
        if only and n not in only: continue
        t0=time.time()
        try:
            l=compare(fam,c,n,list(fam.light)+(list(fam.heavy) if heavy else []))
        except Exception as e:
            import traceback; traceback.print_exc(limit=-4); print("ERR",c,n,repr(e)[:200]); continue
        print(f"{c}/{n} ran {l.ran} refused {l.refused} wrong {len(l.wrong)} {time.time()-t0:.2f}s", flush=True)
        for w in l.wrong[:4]: print("    ",w[:300])
print(time.time()-T)
