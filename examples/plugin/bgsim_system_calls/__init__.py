"""An example of plug-ins for bgsim: a workload, a guest and a cure in one small package."""
