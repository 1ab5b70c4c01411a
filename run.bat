@echo off
rem vLLM does not run on Windows itself. This starts the gateway alone, or says how to run everything.
setlocal
cd /d "%~dp0"
if "%ENGINE_URL%"=="" goto explain
if "%DATABASE_URL%"=="" goto explain

where py >nul 2>nul && (set "PYTHON=py -3") || (set "PYTHON=python")
%PYTHON% setup\environment.py gateway || exit /b 1
.venv\Scripts\python.exe -m adapters migrate || exit /b 1
.venv\Scripts\python.exe -m adapters gateway
exit /b %errorlevel%

:explain
echo vLLM does not run on Windows itself. Choose one of these:
echo.
echo   1. WSL 2:   open a WSL terminal in this folder and run  ./run.sh
echo   2. Docker:  docker compose up        (needs Docker Desktop with an NVIDIA GPU)
echo   3. The gateway alone on Windows, with vLLM and PostgreSQL elsewhere:
echo          set ENGINE_URL=http://engine-host:8000
echo          set DATABASE_URL=postgresql://user:password@database-host/zephyr
echo          run.bat
exit /b 1
